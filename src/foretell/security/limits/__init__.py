"""What callers may use up: sliding windows, counted once for all workers of a host or for all hosts (ADR 29)."""
