"""Counters of several hosts, in a Redis. While it is away each host holds its part of every limit by itself, of which
it has used up by then what Redis granted it.

One connection, used by one task alone: whoever asks puts its question into a queue and awaits a future, so that a
caller who leaves takes nothing with it. What gathers during one exchange is the next one. An exchange that fails, or is
not over within the budget, closes the connection, and until it stands again nobody waits for Redis.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from hashlib import sha1
from typing import Any, NamedTuple

import structlog

from foretell.redis.breaker import Breaker
from foretell.redis.line import CONNECT_S, Line, open_connections
from foretell.security.limits.buckets import Bucket
from foretell.security.limits.counters import Amount, Granted, Mark, Refused
from foretell.security.limits.local import LocalCounters
from foretell.security.limits.scripts import GIVE, HOSTS, PARTS, TAKE
from foretell.security.limits.window import Window

HELD_S = 0.04
MAX_ASKED = 4096
BATCH = 32
RETRY_S = 1.0
BEAT_S = 5.0
LOG_S = 10.0
GONE_S = 30
CLOSE_S = 0.5

_PLACE = "redis"
_PREFIX = b"foretell:{limits}:"
"""The braces keep all buckets of a request on one node of a cluster."""
_HOSTS_KEY = _PREFIX + b"hosts"
_SHA = {script: sha1(script, usedforsecurity=False).hexdigest().encode() for script in (TAKE, GIVE, HOSTS)}

_log = structlog.get_logger("foretell.limits")


class _Question(NamedTuple):
    """One run of a script; nobody awaits the answer where there is no future."""

    script: bytes
    keys: Sequence[bytes]
    values: Sequence[bytes]
    answer: asyncio.Future[Any] | None
    buckets: Sequence[Bucket] = ()


class RedisCounters:
    """``Counters`` on the Redis of ``url``. ``local`` counts while it is away, with this host's share of the limits.

    ``host`` names this host among those that share the Redis; ``hosts`` is how many they were, and ``note_hosts`` is
    told how many they are. Raises OperatorError where ``url`` is no address.
    """

    held_s = HELD_S

    def __init__(
        self,
        url: str,
        local: LocalCounters,
        *,
        host: str,
        workers: int,
        budget_s: float,
        hosts: int = 1,
        note_hosts: Callable[[int], None] = lambda _: None,
        retry_s: float = RETRY_S,
    ) -> None:
        self._line = Line(open_connections(url, "rates.redis_url"))
        self._local = local
        self._host = host.encode()
        self._workers = workers
        self._budget_s = budget_s
        self._note_hosts = note_hosts
        self._retry_s = retry_s
        self._breaker = Breaker(retry_s)
        self._questions: deque[_Question] = deque()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._alone = local.share
        self._hosts = 0
        self._closed = False
        self._logged_s = float("-inf")
        self._away_logged = True
        self._learn(hosts)

    @property
    def available(self) -> bool:
        """Whether Redis counts."""
        return self._breaker.closed

    async def open(self) -> None:
        """Connects, for a moment; where that does not succeed, on and on in the background."""
        self._begin("connect", lambda: self._connect(0.0))
        await asyncio.wait([self._tasks["connect"]], timeout=self._budget_s * 10)

    async def close(self) -> None:
        """Hands in what is still to be given back, and leaves."""
        self._cancel("beat")
        exchanging = self._tasks.get("exchange")
        if exchanging is not None and self.available:
            await asyncio.wait([exchanging], timeout=CLOSE_S)
        self._closed = True
        self._breaker.failed(time.monotonic())
        for purpose in list(self._tasks):
            self._cancel(purpose)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self._give_up()

    # -- as Counters --

    def take(self, buckets: Sequence[Bucket], need: Amount, want: Amount) -> Granted | Refused | None:
        """See ``Counters``."""
        return None if self.available else self._local.take(buckets, need, want)

    async def ask(self, buckets: Sequence[Bucket], need: Amount, want: Amount) -> Granted | Refused:
        """See ``Counters``; waits for the budget at most."""
        if not self.available or len(self._questions) >= MAX_ASKED:
            return self._local.take(buckets, need, want)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        numbers = (PARTS, self._workers * self._hosts, *need, *want)
        values = [b"%d" % number for number in numbers]
        for bucket in buckets:
            values += (b"%d" % (bucket.unit + 1), b"%d" % bucket.rate.count, b"%d" % _part_ms(bucket))
        self._put(_Question(TAKE, [_name(bucket) for bucket in buckets], values, answer, buckets))
        timer = loop.call_later(self._budget_s, _late, answer)
        try:
            said = await answer
        except (TimeoutError, ConnectionError):
            return self._local.take(buckets, need, want)
        finally:
            timer.cancel()
        if not said[0]:
            return _refused(said, buckets)
        granted = _granted(said)
        # so that this host knows, should Redis go away, what it has had of its share
        here_s = self._local.note(buckets, granted.amount)
        return Granted(granted.amount, granted.mark._replace(here_s=here_s))

    def give(self, buckets: Sequence[Bucket], amount: Amount, mark: Mark) -> None:
        """See ``Counters``. What cannot be given back is lost to those who share the limit, until it is forgotten."""
        if mark.place != _PLACE:
            self._local.give(buckets, amount, mark)
            return
        if mark.here_s:
            self._local.give(buckets, amount, Mark("", mark.here_s))
        if self.available and len(self._questions) < MAX_ASKED:
            given = [bucket for bucket in buckets if amount[bucket.unit]]
            values = [b"%d" % round(mark.at_s * 1e3)]
            for bucket in given:
                values += (b"%d" % amount[bucket.unit], b"%d" % _part_ms(bucket))
            self._put(_Question(GIVE, [_name(bucket) for bucket in given], values, None))

    # -- one task for each purpose --

    def _put(self, question: _Question) -> None:
        self._questions.append(question)
        self._begin("exchange", self._exchange)

    def _begin(self, purpose: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        running = self._tasks.get(purpose)
        if not self._closed and (running is None or running.done()):
            self._tasks[purpose] = asyncio.get_running_loop().create_task(work(), name=f"limits {purpose}")

    def _cancel(self, purpose: str) -> None:
        if purpose in self._tasks:
            self._tasks[purpose].cancel()

    async def _exchange(self) -> None:
        while self.available and self._questions:
            batch = [self._questions.popleft() for _ in range(min(BATCH, len(self._questions)))]
            batch = [asked for asked in batch if asked.answer is None or not asked.answer.done()]
            commands = [
                (b"EVALSHA", _SHA[asked.script], b"%d" % len(asked.keys), *asked.keys, *asked.values) for asked in batch
            ]
            try:
                replies = await self._line.exchange(commands, self._budget_s)
                refusal = next((reply for reply in replies if isinstance(reply, Exception)), None)
                if refusal is not None:  # scripts forgotten, no room, read-only: to connect again tells which
                    raise refusal
            except Exception as error:
                for asked in batch:
                    _tell(asked.answer, ConnectionError())
                await self._failed(error)
                return
            for asked, reply in zip(batch, replies, strict=True):
                self._answer(asked, reply)

    def _answer(self, asked: _Question, reply: Any) -> None:
        if asked.script is TAKE and asked.answer is not None and asked.answer.done():
            if reply[0]:  # nobody waited that long for it
                granted = _granted(reply)
                self.give(asked.buckets, granted.amount, granted.mark)
        else:
            _tell(asked.answer, reply)

    async def _connect(self, delay_s: float) -> None:
        """Tries until the connection stands, Redis has the scripts, and knows of this host."""
        while True:
            await asyncio.sleep(delay_s)
            try:
                await self._line.connect(CONNECT_S)
                loading = [(b"SCRIPT", b"LOAD", script) for script in (TAKE, GIVE, HOSTS)]
                *_, hosts = await self._line.exchange([*loading, self._beat()], CONNECT_S)
                if isinstance(hosts, Exception):
                    raise hosts
            except Exception as error:
                if self._breaker.failed(time.monotonic()) == 0.0:
                    self._log_away(error)
                delay_s = self._retry_s
            else:
                self._learn(max(hosts, self._hosts))  # the others may be about to connect, too
                self._breaker.succeeded(time.monotonic())
                self._log_back()
                self._begin("beat", self._beat_on)
                self._begin("exchange", self._exchange)
                return

    def _beat(self) -> tuple[bytes, ...]:
        return (b"EVALSHA", _SHA[HOSTS], b"1", _HOSTS_KEY, self._host, b"%d" % GONE_S)

    async def _beat_on(self) -> None:
        """Says every few seconds that this host is here, and hears how many are."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(BEAT_S)
            if self.available:
                answer: asyncio.Future[Any] = loop.create_future()
                answer.add_done_callback(self._heard)
                self._put(_Question(HOSTS, [_HOSTS_KEY], [self._host, b"%d" % GONE_S], answer))

    def _heard(self, answer: asyncio.Future[Any]) -> None:
        if not answer.cancelled() and answer.exception() is None:
            self._learn(answer.result())

    def _learn(self, hosts: int) -> None:
        hosts = max(1, hosts)
        if hosts == self._hosts:
            return
        if self._hosts:
            _log.info("limits_hosts", hosts=hosts, before=self._hosts)
        self._hosts = hosts
        self._local.share = self._alone * hosts
        self._note_hosts(hosts)

    async def _failed(self, error: Exception) -> None:
        """Nobody waits for Redis any more, from now until it is back."""
        if self._closed:
            return
        delay_s = self._breaker.failed(time.monotonic())
        self._log_away(error)
        await self._give_up()
        self._begin("connect", lambda: self._connect(delay_s))

    async def _give_up(self) -> None:
        for asked in self._questions:
            _tell(asked.answer, ConnectionError())
        self._questions.clear()
        await self._line.cut()

    def _log_back(self) -> None:
        if not self._away_logged:
            return
        self._away_logged = False
        _log.info("limits_redis_available", hosts=self._hosts)

    def _log_away(self, error: Exception) -> None:
        # the library's own text may hold the address; its kind tells enough
        now_s = time.monotonic()
        if now_s - self._logged_s < LOG_S:
            return
        self._logged_s, self._away_logged = now_s, True
        detail = f"until it is back this host holds one part in {self._hosts} of each limit"
        _log.warning("limits_redis_unavailable", error=type(error).__name__, detail=detail)


def _part_ms(bucket: Bucket) -> int:
    # rounded up: a window that is a millisecond longer lets nobody through
    return int(Window.of(bucket.rate.period_s, HELD_S, PARTS).part_s * 1e3) + 1


def _name(bucket: Bucket) -> bytes:
    return _PREFIX + bucket.digest.hex().encode()


def _granted(said: Sequence[Any]) -> Granted:
    return Granted(Amount(int(said[1]), int(said[2])), Mark(_PLACE, int(said[3]) / 1e3))


def _refused(said: Sequence[Any], buckets: Sequence[Bucket]) -> Refused:
    return Refused(buckets[int(said[1]) - 1], int(said[2]), int(said[3]) / 1e3)


def _tell(answer: asyncio.Future[Any] | None, said: Any) -> None:
    if answer is None or answer.done():
        return
    if isinstance(said, Exception):
        answer.set_exception(said)
    else:
        answer.set_result(said)


def _late(answer: asyncio.Future[Any]) -> None:
    _tell(answer, TimeoutError())
