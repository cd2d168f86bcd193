"""Redis as the store that several processes share, on terms under which it can do no harm.

Two connections, one that reads and one that writes, each used by one task alone. Whoever asks puts a key into a queue
and awaits a future; what gathers while one exchange is under way goes out together as the next. So a caller that leaves
takes nothing with it: no reply is ever left on a connection for the next caller to read. An exchange that fails, or is
not over within the budget, closes both connections, and until they stand again nobody waits for Redis.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog

from foretell.caching.base import RemoteFailed
from foretell.redis.breaker import Breaker
from foretell.redis.line import CONNECT_S, Line, open_connections

MAX_READS = 4096
MAX_UNWRITTEN_BYTES = 8 * 1024 * 1024
BATCH = 32
RETRY_S = 1.0
WRITE_S = 1.0
CLOSE_S = 0.5
REFUSAL_LOG_S = 60.0

Read = tuple[bytes, asyncio.Future[bytes | None]]
"""A key, and who awaits its value."""

_PREFIX = b"foretell:"
_log = structlog.get_logger("foretell.caching")


class RedisStore:
    """A ``Remote``. ``budget_s`` bounds how long a ``get`` may take; ``max_value_bytes`` what is read of a value."""

    name = "redis"

    def __init__(self, url: str, *, budget_s: float, max_value_bytes: int, retry_s: float = RETRY_S) -> None:
        connections = open_connections(url, "cache.redis_url")
        self._budget_s = budget_s
        self._retry_s = retry_s
        self._max_value_bytes = max_value_bytes
        self._reader = Line(connections)
        self._writer = Line(connections)
        self._breaker = Breaker(retry_s)
        self._reads: deque[Read] = deque()
        self._writes: deque[tuple[bytes, bytes, float]] = deque()
        self._unwritten_bytes = 0
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._generation = 0
        self._closed = False
        self._refusal_logged_s = float("-inf")

    @property
    def available(self) -> bool:
        return self._breaker.closed

    async def get(self, key: bytes) -> bytes | None:
        if not self.available:
            return None
        if len(self._reads) >= MAX_READS:
            raise RemoteFailed("too many questions wait for Redis")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes | None] = loop.create_future()
        self._reads.append((key, answer))
        self._begin("read", self._read)
        timer = loop.call_later(self._budget_s, _late, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    def put(self, key: bytes, value: bytes, ttl_s: float) -> bool:
        if not self.available or self._unwritten_bytes + len(value) > MAX_UNWRITTEN_BYTES:
            return False
        self._writes.append((key, value, ttl_s))
        self._unwritten_bytes += len(value)
        self._begin("write", self._write)
        return True

    async def open(self) -> None:
        self._begin("connect", lambda: self._connect(0.0))

    async def close(self) -> None:
        writing = self._tasks.get("write")
        if writing is not None and self.available:
            await asyncio.wait([writing], timeout=CLOSE_S)
        self._closed = True
        self._breaker.failed(time.monotonic())
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._give_up()

    # -- one task for each purpose --

    def _begin(self, purpose: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        running = self._tasks.get(purpose)
        if not self._closed and (running is None or running.done()):
            self._tasks[purpose] = asyncio.get_running_loop().create_task(work(), name=f"redis {purpose}")

    async def _read(self) -> None:
        last = b"%d" % self._max_value_bytes
        while self.available and (batch := _waited_for(self._reads)):
            generation = self._generation
            # no more of a value than we ever write: whoever fills Redis does not fill our memory
            commands = [(b"GETRANGE", _name(key), b"0", last) for key, _ in batch]
            try:
                replies = await self._reader.exchange(commands, self._budget_s)
            except Exception as error:
                replies = [error] * len(batch)
                await self._failed(error, generation)
            for (_, answer), reply in zip(batch, replies, strict=True):
                _tell(answer, reply)

    async def _write(self) -> None:
        while self.available and self._writes:
            batch = [self._writes.popleft() for _ in range(min(BATCH, len(self._writes)))]
            self._unwritten_bytes -= sum(len(value) for _, value, _ in batch)
            generation = self._generation
            commands = [
                (b"SET", _name(key), value, b"PX", b"%d" % max(1, int(ttl_s * 1e3))) for key, value, ttl_s in batch
            ]
            try:
                replies = await self._writer.exchange(commands, WRITE_S)
            except Exception as error:
                await self._failed(error, generation)
            else:
                self._note_refusals(replies)

    async def _connect(self, delay_s: float) -> None:
        """Tries until both connections stand."""
        while True:
            await asyncio.sleep(delay_s)
            try:
                for line in (self._reader, self._writer):
                    await line.connect(CONNECT_S)
            except Exception as error:
                if self._breaker.failed(time.monotonic()) == 0.0:
                    self._log_unavailable(error)
                delay_s = self._retry_s
            else:
                self._breaker.succeeded(time.monotonic())
                _log.info("cache_redis_available")
                return

    async def _failed(self, error: Exception, generation: int) -> None:
        """Nobody waits for Redis any more, from now until it is back."""
        if generation != self._generation or self._closed:
            return  # a connection that was given up before: what followed is not its affair
        delay_s = self._breaker.failed(time.monotonic())
        self._log_unavailable(error)
        await self._give_up()
        self._begin("connect", lambda: self._connect(delay_s))

    async def _give_up(self) -> None:
        self._generation += 1
        for _, answer in self._reads:
            _tell(answer, b"")
        self._reads.clear()
        self._writes.clear()
        self._unwritten_bytes = 0
        for line in (self._reader, self._writer):
            await line.cut()

    def _log_unavailable(self, error: Exception) -> None:
        # the library's own text may hold the address; its kind tells enough
        detail = "answers come from the models and from this process until it is back"
        _log.warning("cache_redis_unavailable", error=type(error).__name__, detail=detail)

    def _note_refusals(self, replies: Sequence[Any]) -> None:
        refusals = [reply for reply in replies if isinstance(reply, Exception)]
        now_s = time.monotonic()
        if refusals and now_s - self._refusal_logged_s > REFUSAL_LOG_S:
            self._refusal_logged_s = now_s
            _log.warning("cache_redis_refused", error=type(refusals[0]).__name__, detail="Redis does not take values")


def _name(key: bytes) -> bytes:
    return _PREFIX + key.hex().encode()


def _waited_for(reads: deque[Read]) -> list[Read]:
    """The next questions to which somebody still awaits the answer."""
    batch: list[Read] = []
    while reads and len(batch) < BATCH:
        read = reads.popleft()
        if not read[1].done():
            batch.append(read)
    return batch


def _tell(answer: asyncio.Future[bytes | None], reply: Any) -> None:
    """Ends a question: with the value, with nothing where there is none (an empty reply), or with why not."""
    if answer.done():
        return
    if isinstance(reply, bytes):
        answer.set_result(reply or None)
    else:
        answer.set_exception(RemoteFailed(type(reply).__name__))


def _late(answer: asyncio.Future[bytes | None]) -> None:
    _tell(answer, TimeoutError())
