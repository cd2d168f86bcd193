"""Who calls and what they may do, as values and pure decisions."""
