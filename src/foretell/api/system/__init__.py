"""What the server says of itself to whoever runs it."""
