"""Where the work of a stream runs: on the loop, or, where it would hold the loop, on a thread of the stream's own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class StreamThread:
    """Runs calls one after the other. ``off_loop``: on a thread; else at once."""

    def __init__(self, *, off_loop: bool) -> None:
        self._thread = ThreadPoolExecutor(1, "foretell-stream") if off_loop else None

    async def run(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        """What the call gives or raises. A caller that does not wait for it to end does not stop it."""
        if self._thread is None:
            return call(*args)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *args)

    def close(self, last: Callable[[], None]) -> None:
        """Runs ``last`` once no other call runs any more, and waits for nothing."""
        if self._thread is None:
            last()
            return
        self._thread.submit(last)
        self._thread.shutdown(wait=False)
