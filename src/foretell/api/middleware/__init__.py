"""Pure ASGI classes that see every request, in the order ``foretell.api.app`` lists them."""
