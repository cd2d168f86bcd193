"""Pure values: what a model is called, takes and gives. No I/O, no async, no framework."""
