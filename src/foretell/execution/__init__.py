"""How a prediction runs: the mode and the size of a batch are chosen purely, executors act on it."""
