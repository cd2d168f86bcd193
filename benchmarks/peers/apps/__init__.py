"""What runs inside the peers' environments: nothing of Foretell is imported here, and only one peer by each file."""
