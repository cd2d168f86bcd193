"""The codec port: how bytes of one format become rows.

There are two ways. The *explaining way*, ``parse`` and then ``foretell.core.validation.bind``, reads anything and says
what is wrong with it. The *fast way*, ``compile``, is made for one signature, reads what is plainly right, and says
nothing: for whatever is unusual or wrong it gives None, and the caller takes the explaining way with the same bytes.

The invariant, held by test: what the fast way accepts, the explaining way accepts with identical values. A body naming
``model_version`` is never accepted by the fast way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from foretell.core.document import Document
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.core.values import Inputs, Row


@dataclass(frozen=True, slots=True)
class Decoders:
    """The fast way for one signature: ``single`` reads a body of one row, ``batch`` one of many.

    ``slices`` reads a batch body in parts that each take a few milliseconds, for bodies that would take long as a
    whole; its last part is None where the body is not plain, and ``join`` makes one of the others.

    None ever raises; None means «not plain». Safe to share between threads.
    """

    single: Callable[[bytes], Row | None]
    batch: Callable[[bytes], Inputs | None]
    slices: Callable[[bytes], Iterator[Inputs | None]] | None = None


class Labelled(NamedTuple):
    """A column of few texts: row ``i`` has ``labels[indices[i]]``."""

    labels: Sequence[Any]
    indices: NDArray[np.intp]


Values = Sequence[Any] | NDArray[Any] | Labelled


@dataclass(frozen=True, slots=True)
class Answers:
    """What an answer says of its rows, for a format that has columns or is one array; made when asked for.

    ``columns`` hold one value for each row, in the order they are shown in. ``array`` has the predictions, or the
    probabilities where those were asked for, the first axis being the rows (a single answer has no such axis); None
    where they do not fit into one array.
    """

    columns: Callable[[], Mapping[str, Values]]
    array: Callable[[], NDArray[Any] | None]


class Codec(Protocol):
    """One format of request bodies, and of answers."""

    @property
    def media_type(self) -> str:
        """As ``Content-Type`` names it, in lower case, without parameters."""
        ...

    @property
    def single(self) -> bool:
        """Whether it carries one row, and one answer, or batches alone."""
        ...

    @property
    def off_loop_bytes(self) -> int | None:
        """From how many bytes on ``parse`` may take so long that it belongs on a thread; None for never.

        The documents of a format that has such a number never name a version.
        """
        ...

    @property
    def missing(self) -> str | None:
        """What the operator has to install before bodies can be read and written; None where nothing is missing."""
        ...

    @property
    def write(self) -> Callable[[Answers], bytes] | None:
        """Makes the bytes of an answer; None where the doors have ways of their own for it.

        Raises NotAcceptable where the answer does not fit in.
        """
        ...

    def compile(self, signature: Signature, limits: BodyLimits) -> Decoders | None:
        """The fast way for ``signature``; None where the format has none. Raises nothing."""
        ...

    def parse(self, body: bytes, many: bool, limits: BodyLimits, parameters: Mapping[str, str]) -> Document:
        """Reads a body of any bytes; ``many`` on a batch path, ``parameters`` are those of the content type.

        Raises MalformedRequest, and BodyTooLarge where decompressed it is larger than ``limits.max_decoded_bytes``.
        Raises nothing else, and never takes more memory than a small multiple of that.
        """
        ...
