"""The admin API: keys and the audit trail, for callers with the scope ``admin``."""
