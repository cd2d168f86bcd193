"""HTTP only: paths, statuses, headers. What may be predicted and how is decided behind ``foretell.inference``."""
