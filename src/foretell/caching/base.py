"""The caching ports: the remembered answers of one version, and a store that several processes share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from foretell.core.values import Inputs, Outputs, Row

Ran = TypeVar("Ran")


@dataclass(frozen=True, slots=True)
class Answered(Generic[Ran]):
    """An answer. ``ran`` is what the model call told beside it; None where no call was made for this request: a hit."""

    outputs: Outputs
    ran: Ran | None

    @property
    def hit(self) -> bool:
        """Whether no model call was made for this request."""
        return self.ran is None


class AnswerCache(Protocol):
    """The remembered answers of one version. All methods are called from the event loop's thread."""

    def recalled(self, row: Row, write: Callable[[Outputs], bytes | None], tenant: str = "") -> bytes | None:
        """The answer to a single row as ``write`` puts it, where this process remembers it for this ``tenant``.

        It counts as a hit then. None otherwise, and where ``write`` gives None; ``answer`` is to be asked then. What
        was written is kept beside the answer, so all who ask of one version have to write alike. Raises nothing but
        what ``write`` raises.
        """
        ...

    async def answer(
        self,
        rows: Sequence[Row] | Inputs,
        deadline_s: float,
        compute: Callable[[], Awaitable[tuple[Outputs, Ran]]],
        tenant: str = "",
    ) -> Answered[Ran]:
        """The answer to validated rows: remembered, or another equal request's, or what ``compute`` gives.

        Nothing is remembered or shared across tenants: how fast an answer came would tell what others have asked.
        ``compute`` is awaited in a task of its own, which ends early only where nobody waits for it any more. Raises
        what ``compute`` raises, and DeadlineExceeded past ``deadline_s`` (``time.monotonic``); nothing of its own. What
        ``compute`` gives and is no answer (NaN, an infinity) is given back all the same, neither kept nor counted.
        """
        ...

    def to_document(self) -> Mapping[str, Any]:
        """Terms and counts as plain values for ``/models/{model}``."""
        ...

    def close(self) -> None:
        """Forgets everything this process remembers of the version. Nothing is remembered afterwards."""
        ...


class RemoteFailed(Exception):
    """The shared store did not give an answer in its time. Never leaves the caching package."""


class Remote(Protocol):
    """A store of bytes that other processes share. What it gives is not to be trusted."""

    @property
    def available(self) -> bool:
        """Whether it is worth asking. Asking all the same does no harm, and gives nothing."""
        ...

    @property
    def name(self) -> str:
        """What it is, as ``/models/{model}`` shows it."""
        ...

    async def get(self, key: bytes) -> bytes | None:
        """What stands under ``key``, or None. Raises RemoteFailed, within the store's budget of time."""
        ...

    def put(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        """Has the value written some time soon. False where it does not take it; it may be lost all the same."""
        ...

    async def open(self) -> None:
        """Begins to connect. A store that is not there is no error."""
        ...

    async def close(self) -> None:
        """Ends what runs in the background."""
        ...
