"""Text in CSV that a spreadsheet would run."""

from __future__ import annotations

import re

_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def no_formula(text: str) -> str:
    """``text``, led by an apostrophe where a spreadsheet would run it as a formula; plain numbers pass."""
    return "'" + text if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text
