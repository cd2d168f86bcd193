"""Usage as tests write it down."""

from __future__ import annotations

import secrets

from foretell.security.usage.ledger import Batch, Counted


def batch(counted: Counted) -> Batch:
    """The first batch of a writer of its own."""
    return Batch(secrets.token_hex(16), 1, max((line.day for line in counted), default=0), counted)
