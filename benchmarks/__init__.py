"""How fast Foretell is beside what one would write oneself: `make bench`, or `python -m benchmarks --only singles`."""
