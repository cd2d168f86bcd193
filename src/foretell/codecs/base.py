"""The codec port: how bytes of one format become rows.

There are two ways. The *explaining way*, ``parse`` and then ``foretell.core.validation.bind``, reads anything and says
what is wrong with it. The *fast way*, ``compile``, is made for one signature, reads what is plainly right, and says
nothing: for whatever is unusual or wrong it gives None, and the caller takes the explaining way with the same bytes.

The invariant, held by test: what the fast way accepts, the explaining way accepts with identical values. A body naming
``model_version`` is never accepted by the fast way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from foretell.core.document import Document
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.core.values import Inputs, Row


@dataclass(frozen=True, slots=True)
class Decoders:
    """The fast way for one signature: ``single`` reads a body of one row, ``batch`` one of many.

    Neither ever raises; None means «not plain». Safe to share between threads.
    """

    single: Callable[[bytes], Row | None]
    batch: Callable[[bytes], Inputs | None]


class Codec(Protocol):
    """One format of request bodies."""

    @property
    def media_type(self) -> str:
        """As ``Content-Type`` names it, in lower case, without parameters."""
        ...

    def compile(self, signature: Signature, limits: BodyLimits) -> Decoders | None:
        """The fast way for ``signature``; None where the format has none. Raises nothing."""
        ...

    def parse(self, body: bytes, many: bool, limits: BodyLimits, parameters: Mapping[str, str]) -> Document:
        """Reads a body of any bytes; ``many`` on a batch path, ``parameters`` are those of the content type.

        Raises MalformedRequest, nothing else.
        """
        ...
