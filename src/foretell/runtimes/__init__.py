"""How an artifact becomes a function. Each runtime is one file behind the port in ``base``, found by entry point."""
