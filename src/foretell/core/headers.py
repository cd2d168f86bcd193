"""Headers that every answer carries, whichever way it takes. Pure."""

from __future__ import annotations

Header = tuple[bytes, bytes]

_ALWAYS: tuple[Header, ...] = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"no-referrer"))


def safety_headers(scheme: str, hsts_s: int) -> tuple[Header, ...]:
    """Browsers guess no content types and tell nobody where they were; over HTTPS they stay with it for ``hsts_s``."""
    if scheme == "https" and hsts_s:
        return (*_ALWAYS, (b"strict-transport-security", b"max-age=%d" % hsts_s))
    return _ALWAYS
