"""Who stands behind a credential, how much they have used up, and the gate that asks both."""
