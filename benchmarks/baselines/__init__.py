"""What Foretell is measured beside: an empty ASGI application, the usual tutorial application, a plain loop."""
