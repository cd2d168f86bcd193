"""What the commands for keys and audit have between them."""
