"""Bounds on what a request body may hold. Settings fill them; codecs and validation hold them."""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_QUEUE_S = 2.0
"""How long a request may wait for its model's turn, where the settings say nothing else."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """``max_rows`` binds batches, ``max_depth`` nested arrays and objects, ``max_digits`` a whole number's digits.

    ``max_columns`` binds bodies that name their columns, ``max_decoded_bytes`` what a compressed body, or one of small
    numbers, may grow to. ``max_magnitude`` is the largest absolute value of a number; there is none, but where a model
    has failed on numbers beyond what it computes in.
    """

    max_body_bytes: int = 8 * 1024 * 1024
    max_rows: int = 1000
    max_depth: int = 32
    max_digits: int = 400
    max_text_chars: int = 1024 * 1024
    max_columns: int = 10_000
    max_magnitude: float = math.inf

    @property
    def max_decoded_bytes(self) -> int:
        """One byte of a body may be one number, which takes eight bytes of memory; no honest body grows by more."""
        return 8 * self.max_body_bytes
