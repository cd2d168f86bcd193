"""Foretell's own dialect (contract §3)."""
