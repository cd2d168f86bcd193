"""Which version answers: finding, loading, warming, swapping and retiring versions."""
