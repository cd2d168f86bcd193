"""What ``foretell predict`` is made of: rows of a file, doors that answer them, and ways to show the answers."""
