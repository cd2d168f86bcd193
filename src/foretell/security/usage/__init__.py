"""The usage ledger: who used how much of what on which day."""
