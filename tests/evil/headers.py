"""Headers that are hard on whoever reads or logs them (faults.md, rows 58 and 60)."""

from __future__ import annotations

MARK = "\x1b[31m"
INJECTED = [
    b"\x1b[2J\x1b[1;31mred",
    b"%0d%0aSet-Cookie: a=b",
    b"\xe2\x80\xae gnitirw",
    b'"}\\n{"event":"request"',
    b"\xc2\x9b31m",
    b"\\r\\nX: y",
    b"\xff\xfe\x80",
    b"${jndi:ldap://x}",
    b"%n%n%s",
    b"'; drop table keys; --",
    b"\xe2\x80\xa8line",
    b"a" * 7000,
]
"""Values that a header may hold on the wire, and that must not act on a log."""

LONG = 8000  # within what the server reads of one header


def slow() -> dict[str, bytes]:
    """By header, what a reader that is not linear chokes on."""
    return {
        "Accept": b"text/html;q=0.1," * (LONG // 16),
        "Accept ": b"a/b;" + b'x="\\' * (LONG // 4),
        "Accept-": b"," * LONG,
        "Content-Type": b"multipart/form-data; " + b"a=" * (LONG // 2),
        "Content-Type ": b'application/json; charset="' + b"\\" * LONG,
        "Content-Type-": b"application/json" + b" ;" * (LONG // 2),
        "Cookie": b"a=b;" * (LONG // 4),
        "Range": b"bytes=" + b"0-," * (LONG // 3),
        "If-None-Match": b'W/"' * (LONG // 3),
        "Authorization": b"Bearer " + b"a." * (LONG // 2),
        "Forwarded": b'for="' * (LONG // 5),
        "X-Forwarded-For": b"1.2.3.4," * (LONG // 8),
        "X-Request-ID": b"a" * LONG,
        "X-Request-Timeout": b"1" * LONG,
        "User-Agent": b"(" * LONG,
        "Origin": b"http://" + b"a." * (LONG // 2),
    }
