"""What the server remembers: one database, the folder it lies in, and how its tables come to be (ADR 25)."""
