"""Bytes to values: one module per format, each behind the port in ``base``."""
