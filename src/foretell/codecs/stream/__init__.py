"""Rows that never end: bytes of any length into chunks of rows, and answered chunks into bytes (ADR 21)."""
