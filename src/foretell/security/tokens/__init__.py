"""Bearer tokens: those of outside issuers, and those that the server makes for its own keys."""
