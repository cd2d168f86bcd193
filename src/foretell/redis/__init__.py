"""How we speak to a Redis: on terms under which it can do no harm."""
