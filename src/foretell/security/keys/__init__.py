"""API keys: kept in the database, checked from memory."""
