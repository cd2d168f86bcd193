"""What happened: one line per request, events of the server, and the sink both go through."""
