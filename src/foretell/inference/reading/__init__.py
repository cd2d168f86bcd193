"""How a body becomes rows without holding the event loop: in slices where it is plain, in a process aside where not."""
