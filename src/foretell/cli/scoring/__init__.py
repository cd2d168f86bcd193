"""What ``foretell score`` is made of: a file in parts, processes or a server for them, a folder to go on from."""
