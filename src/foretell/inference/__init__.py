"""The plane: every prediction, whichever door it came by, is decided and run here."""
