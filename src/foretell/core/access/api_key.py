"""The text of an API key: ``ft_k7f3m2qa_<43 characters><6>``. Pure.

After the prefix, by which scanners of leaked secrets can know it, come the key's public id, 256 random bits and a
checksum, all in letters and digits, so that a double click takes the whole. The checksum tells a mistyped key from an
unknown one without asking anybody; it protects nothing.
"""

from __future__ import annotations

import re
import zlib

from foretell.core.access.credentials import KEY_PREFIX

ID_CHARS = 8
SECRET_BYTES = 32

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # without those that people take for one another
_SECRET_CHARS = 43
_CHECK_CHARS = 6
_GRAMMAR = re.compile(rb"ft_([0-9a-z]{8})_[0-9A-Za-z]{49}")


def mint(random: bytes) -> tuple[str, str]:
    """(id, key) of ``ID_CHARS + SECRET_BYTES`` random bytes."""
    if len(random) != ID_CHARS + SECRET_BYTES:
        raise ValueError(f"takes {ID_CHARS + SECRET_BYTES} random bytes, got {len(random)}")
    key_id = "".join(_ID_ALPHABET[byte % len(_ID_ALPHABET)] for byte in random[:ID_CHARS])
    secret = _base62(int.from_bytes(random[ID_CHARS:], "big"), _SECRET_CHARS)
    body = f"{KEY_PREFIX.decode()}{key_id}_{secret}"
    return key_id, body + _checksum(body.encode())


def id_of(key: bytes) -> str | None:
    """The public id in a whole key; None where it is none, or mistyped."""
    match = _GRAMMAR.fullmatch(key)
    if match is None or _checksum(key[:-_CHECK_CHARS]).encode() != key[-_CHECK_CHARS:]:
        return None
    return match[1].decode()


def _checksum(body: bytes) -> str:
    return _base62(zlib.crc32(body), _CHECK_CHARS)


def _base62(number: int, chars: int) -> str:
    digits = []
    for _ in range(chars):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
