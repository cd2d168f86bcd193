"""TLS: the files it is made of, the context that follows them, and certificates made for development."""
