"""Below ASGI: our HTTP protocol on uvicorn's httptools one, and the lane, its shortcut for the plain success."""
