"""Where version folders come from."""
