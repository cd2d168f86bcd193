"""The dialect of OAuth 2.0: tokens for API keys, and what outsiders check them by."""
