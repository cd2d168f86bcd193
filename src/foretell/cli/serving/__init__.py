"""Running the server: the address, one server in process, workers that share the port, reload, and the banner."""
