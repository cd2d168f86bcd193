"""Other model servers, each in a virtual environment of its own, asked the same: `make bench-peers`."""
