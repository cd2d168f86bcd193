"""Limits of one host: never more than the limit in any window, whoever asks in whatever order."""

from __future__ import annotations

import asyncio
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.core.access.address import counted_as
from foretell.core.access.principal import Principal, anonymous
from foretell.core.access.rates import Rate
from foretell.errors import RateLimited, StateError
from foretell.security.limits import file as file_module
from foretell.security.limits import local as local_module
from foretell.security.limits.buckets import Bucket, Policy
from foretell.security.limits.counters import Amount, Granted, Mark, Refused
from foretell.security.limits.file import FILE, CounterFile, HostCounters
from foretell.security.limits.limiter import SharedLimiter
from foretell.security.limits.local import HELD_S, NAMED_SLOTS, LocalCounters, alone
from foretell.security.limits.purse import Purse
from foretell.security.limits.table import PROBES, Table

ONE = Amount(1, 0)


class Clock:
    """Stands still until it is moved."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


def key(*rates: str, name: str = "key:x", tenant: str = "") -> Principal:
    return Principal(name, "key", tenant, frozenset({"predict"}), None, tuple(map(Rate.parse, rates)))


def rates(*texts: str) -> tuple[Rate, ...]:
    return tuple(map(Rate.parse, texts))


@contextmanager
def files(workers: int, clock: Clock, folder: Path | None = None) -> Iterator[list[CounterFile]]:
    """One counter file as that many workers have it open."""
    with tempfile.TemporaryDirectory() as made:
        opened = [CounterFile(folder or Path(made), workers, monotonic=clock, wall=lambda: 2e9) for _ in range(workers)]
        try:
            yield opened
        finally:
            for file in opened:
                file.close()


class Worker:
    """A purse that is filled from counters, as the limiter does it, and settled by hand."""

    def __init__(self, counters: LocalCounters, bucket: Bucket) -> None:
        self.counters = counters
        self.purse = Purse(None, [bucket])

    def spend(self, count: int) -> bool:
        if self.purse.spend(count, 0):
            return True
        need, want = self.purse.short(count, 0)
        found = self.counters.take(self.purse.buckets, need, want)
        if not isinstance(found, Granted):
            return False
        self.purse.fill(found)
        return self.purse.spend(count, 0)

    def settle(self) -> None:
        stale = self.purse.settle()
        if stale is not None:
            self.counters.give(self.purse.buckets, *stale)


# -- the window --


@settings(max_examples=150, deadline=None)
@given(
    limit=st.integers(1, 30),
    steps=st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 12), st.sampled_from([0.0, 0.001, 0.003, 0.2, 1.0, 2.5, 59.0])),
        max_size=60,
    ),
)
def test_no_window_ever_sees_more_than_the_limit_however_workers_take_turns(
    limit: int, steps: list[tuple[int, int, float]]
) -> None:
    clock = Clock()
    rate = Rate(limit, 60)
    spent: list[tuple[float, int]] = []
    with files(3, clock) as opened:
        workers = [Worker(file.counters, Bucket("key", "key:x", rate)) for file in opened]
        settled_s = clock.now_s
        for number, count, pause_s in steps:
            spent += [(clock.now_s, 1) for _ in range(count) if workers[number].spend(1)]
            # the timers go off every half of HELD_S, whatever happens
            for step_s in [pause_s] if pause_s < HELD_S / 2 else [HELD_S / 2, HELD_S / 2, pause_s - HELD_S]:
                clock.now_s += step_s
                if clock.now_s - settled_s >= HELD_S / 2:
                    settled_s = clock.now_s
                    for worker in workers:
                        worker.settle()
            assert sum(count for at_s, count in spent if at_s > clock.now_s - 60) <= limit
            for end_s, _ in spent[-12:]:
                assert sum(count for at_s, count in spent if end_s - 60 < at_s <= end_s) <= limit


@settings(max_examples=60, deadline=None)
@given(limit=st.integers(1, 50), rounds=st.lists(st.floats(0.0, 130.0), min_size=1, max_size=8))
def test_what_was_used_is_free_again_after_the_period_and_one_part(limit: int, rounds: list[float]) -> None:
    clock = Clock()
    counters, bucket = alone(1, clock), Bucket("key", "x", Rate(limit, 60))
    for pause_s in rounds:
        while isinstance(found := counters.take([bucket], ONE, ONE), Granted):
            pass
        assert found.remaining == 0
        assert 0 < found.wait_s <= 60 + 2 * 60.01 / 27
        clock.now_s += found.wait_s + 1e-6
        assert isinstance(counters.take([bucket], ONE, ONE), Granted)
        clock.now_s += pause_s


def test_all_of_it_is_to_be_had_at_once_and_no_more() -> None:
    counters, bucket = alone(1, Clock()), Bucket("key", "x", Rate(100, 60))
    assert sum(isinstance(counters.take([bucket], ONE, ONE), Granted) for _ in range(500)) == 100


def test_several_limits_are_charged_together_or_not_at_all() -> None:
    counters = alone(1, Clock())
    wide, narrow, rows = (
        Bucket("key", "x", Rate(100, 60)), Bucket("tenant", "t", Rate(3, 60)), Bucket("key", "x", Rate(50, 60, "rows"))
    )  # fmt: skip
    buckets = [wide, narrow, rows]
    for _ in range(3):
        assert isinstance(counters.take(buckets, Amount(1, 10), Amount(1, 10)), Granted)
    refused = counters.take(buckets, Amount(1, 10), Amount(1, 10))
    assert isinstance(refused, Refused)
    assert refused.bucket is narrow
    left = counters.take([wide], Amount(97, 0), Amount(97, 0))
    assert isinstance(left, Granted), "the request that was refused counted nowhere"
    assert isinstance(counters.take([rows], Amount(0, 20), Amount(0, 20)), Granted)
    assert isinstance(counters.take([rows], Amount(0, 1), Amount(0, 1)), Refused)


def test_of_several_that_refuse_the_longest_is_named() -> None:
    clock = Clock()
    counters = alone(1, clock)
    second, month = Bucket("key", "x", Rate(1, 1)), Bucket("key", "x", Rate(1, 30 * 86_400))
    assert isinstance(counters.take([second, month], ONE, ONE), Granted)
    refused = counters.take([month, second], ONE, ONE)
    assert isinstance(refused, Refused)
    assert refused.bucket is month
    assert refused.wait_s > 86_400


def test_what_is_given_back_can_be_had_by_others() -> None:
    clock = Clock()
    with files(2, clock) as (one, other):
        mine, theirs = Bucket("key", "x", Rate(10, 60)), Bucket("key", "x", Rate(10, 60))
        granted = one.counters.take([mine], ONE, Amount(6, 0))
        assert isinstance(granted, Granted)
        assert granted.amount.requests == 1 + 9 // 2, "half of the rest is left for the other worker"
        clock.now_s += 3.0  # it was counted in another part
        one.counters.give([mine], Amount(4, 0), granted.mark)
        assert isinstance(other.counters.take([theirs], Amount(9, 0), Amount(9, 0)), Granted)
        assert isinstance(other.counters.take([theirs], ONE, ONE), Refused)


def test_giving_back_after_the_bucket_is_forgotten_gives_nothing() -> None:
    clock = Clock()
    counters, bucket = alone(1, clock), Bucket("key", "x", Rate(10, 1))
    granted = counters.take([bucket], Amount(5, 0), Amount(5, 0))
    assert isinstance(granted, Granted)
    clock.now_s += 10
    assert isinstance(counters.take([bucket], Amount(10, 0), Amount(10, 0)), Granted)
    counters.give([bucket], Amount(5, 0), granted.mark)
    assert isinstance(counters.take([bucket], ONE, ONE), Refused)
    counters.give([Bucket("key", "never seen", Rate(10, 1))], Amount(5, 0), granted.mark)


def test_a_limit_that_was_changed_goes_on_from_what_was_counted() -> None:
    counters = alone(1, Clock())
    assert isinstance(counters.take([Bucket("key", "x", Rate(10, 60))], Amount(8, 0), Amount(8, 0)), Granted)
    assert isinstance(counters.take([Bucket("key", "x", Rate(5, 60))], ONE, ONE), Refused)
    assert isinstance(counters.take([Bucket("key", "x", Rate(20, 60))], Amount(12, 0), Amount(12, 0)), Granted)


# -- the table --


def test_addresses_push_out_each_other_and_never_keys() -> None:
    counters = alone(1, Clock())
    bucket = Bucket("key", "x", Rate(1, 60))
    assert isinstance(counters.take([bucket], ONE, ONE), Granted)
    for number in range(20_000):
        counters.count(Bucket("failures", f"2001:db8:{number:x}::/64", Rate(10, 60)))
    assert isinstance(counters.take([Bucket("key", "x", Rate(1, 60))], ONE, ONE), Refused)


def test_where_every_place_is_taken_the_bucket_that_ends_soonest_goes() -> None:
    words = memoryview(bytearray(Table.length(PROBES, 4) * 8)).cast("Q")
    table = Table(words, PROBES, 4, bytes(16), 0.0)
    quota = Bucket("key", "quota", Rate(1, 86_400))
    window = table.window(86_400)
    place = table.place(quota, 1000.0)
    table.used(place, window, 1000.0)
    table.count(place, window, 1)
    for number in range(PROBES * 4):
        bucket = Bucket("key", str(number), Rate(1, 60))
        at = table.place(bucket, 1000.0)
        table.used(at, table.window(60), 1000.0)
        table.count(at, table.window(60), 1)
    quota.place = -1
    assert table.used(table.place(quota, 1000.0), window, 1000.0) == 1


def test_a_clock_that_was_ahead_keeps_nobody_out_for_ever() -> None:
    clock = Clock(1e6)
    counters, bucket = alone(1, clock), Bucket("key", "x", Rate(1, 60))
    assert isinstance(counters.take([bucket], ONE, ONE), Granted)
    clock.now_s = 1000.0
    refused = counters.take([bucket], ONE, ONE)
    assert isinstance(refused, Refused)
    clock.now_s += refused.wait_s + 0.01
    assert isinstance(counters.take([bucket], ONE, ONE), Granted)


def test_there_are_slots_for_more_keys_than_most_servers_have() -> None:
    counters = alone(1, Clock())
    buckets = [Bucket("key", f"key:{number}", Rate(1, 60)) for number in range(NAMED_SLOTS // 2)]
    for bucket in buckets:
        counters.take([bucket], ONE, ONE)
    again = sum(isinstance(counters.take([bucket], ONE, ONE), Granted) for bucket in buckets)
    assert again <= len(buckets) // 1000


# -- the file --


def test_what_was_counted_survives_a_restart_and_a_reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(5000.0)
    with files(1, clock, tmp_path) as (file,):
        assert isinstance(file.counters.take([Bucket("key", "x", Rate(1, 86_400))], ONE, ONE), Granted)
    with files(1, clock, tmp_path) as (file,):
        assert isinstance(file.counters.take([Bucket("key", "x", Rate(1, 86_400))], ONE, ONE), Refused)
    clock.now_s = 3.0  # the machine was started anew, an hour later by the clock on the wall
    monkeypatch.setattr(file_module, "_boot", lambda: 7)
    later = CounterFile(tmp_path, 1, monotonic=clock, wall=lambda: 2e9 + 3600)
    refused = later.counters.take([Bucket("key", "x", Rate(1, 86_400))], ONE, ONE)
    later.close()
    assert isinstance(refused, Refused)
    assert 82_000 - 3300 < refused.wait_s < 86_400


def test_the_file_is_of_this_user_alone_and_has_its_room_on_the_disk(tmp_path: Path) -> None:
    with files(1, Clock(), tmp_path / "state"):
        found = (tmp_path / "state" / FILE).stat()
        assert found.st_mode & 0o777 == 0o600
        assert found.st_blocks * 512 >= found.st_size


def test_without_a_file_each_worker_holds_its_part(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the folder should be")
    with structlog.testing.capture_logs() as lines:
        host = HostCounters(tmp_path / "state", 4)
        assert not lines, "nothing is opened before it is needed"
        counters = host.counters
    assert host.file is None
    assert [line["event"] for line in lines] == ["limits_not_shared"]
    bucket = Bucket("key", "x", Rate(100, 60))
    assert sum(isinstance(counters.take([bucket], ONE, ONE), Granted) for _ in range(200)) == 25


def test_another_users_file_is_not_counted_in(tmp_path: Path) -> None:
    (tmp_path / FILE).symlink_to("/etc/passwd")
    with pytest.raises((StateError, OSError)):
        CounterFile(tmp_path, 1)


def test_a_file_that_somebody_holds_for_good_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_module, "OPEN_S", 0.01)
    with files(1, Clock(), tmp_path):
        held = os.open(tmp_path / FILE, os.O_RDWR)
        fcntl.flock(held, fcntl.LOCK_EX)
        with structlog.testing.capture_logs() as lines:
            host = HostCounters(tmp_path, 2)
            assert host.full(Bucket("failures", "203.0.113.7", Rate(1, 60))) is None
        os.close(held)
    assert [line["event"] for line in lines] == ["limits_not_shared"]
    host.close()


def test_a_process_that_stops_with_the_lock_in_its_hand_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_module, "PATIENCE_S", 0.001)
    with files(1, Clock(), tmp_path) as (file,), structlog.testing.capture_logs() as lines:
        held = os.open(tmp_path / FILE, os.O_RDWR)
        fcntl.flock(held, fcntl.LOCK_EX)
        bucket = Bucket("key", "x", Rate(3, 60))
        taken = [isinstance(file.counters.take([bucket], ONE, ONE), Granted) for _ in range(5)]
        os.close(held)
        assert isinstance(file.counters.take([bucket], ONE, ONE), Refused)
    assert taken == [True] * 3 + [False] * 2
    assert [line["event"] for line in lines] == ["limits_unlocked"]


# -- which limits hold --


def kinds(policy: Policy, principal: Principal, address: str = "203.0.113.7", model: str | None = "m") -> list[str]:
    return [f"{bucket.kind} {bucket.name} {bucket.rate}" for bucket in policy.buckets(principal, address, model)]


def test_a_request_counts_for_its_key_its_tenant_and_its_model() -> None:
    policy = Policy(rates("5/s"), rates("1000/day"), {"m": rates("9 rows/s")})
    assert kinds(policy, key("100/m", tenant="t")) == [
        "key key:x 100/m", "key key:x 5/s", "tenant t 1000/day", "model m 9 rows/s"
    ]  # fmt: skip
    assert kinds(policy, key(tenant="t"), model="other") == ["key key:x 5/s", "tenant t 1000/day"]


def test_of_limits_that_count_alike_the_strictest_holds() -> None:
    assert kinds(Policy(rates("5/m")), key("100/m", "7/m", "7 rows/m")) == ["key key:x 5/m", "key key:x 7 rows/m"]


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", ["address 203.0.113.7 10/s"]),
        ("::ffff:203.0.113.7", ["address 203.0.113.7 10/s"]),
        ("2001:db8:1:2:3:4:5:6", ["address 2001:db8:1:2::/64 10/s"]),
        ("127.0.0.1", ["address 127.0.0.1 10/s"]),
        ("fe80::1%eth0", ["address fe80::/64 10/s"]),
        ("unknown", ["address unknown 10/s"]),
        (None, ["address unknown 10/s"]),
    ],
)
def test_strangers_are_counted_by_address_but_for_this_machine(address: str | None, counted: list[str]) -> None:
    policy = Policy(address=rates("10/s"))
    assert kinds(policy, anonymous(frozenset()), counted_as(address, here=False)) == counted
    assert kinds(policy, anonymous(frozenset()), counted_as(address, here=True)) == []


# -- the limiter --


def limiter(policy: Policy, clock: Clock, failures: str | None = "10/m") -> SharedLimiter:
    counters = alone(1, clock)
    return SharedLimiter(policy, counters, counters, rates(failures) if failures else ())


def test_a_caller_spends_its_limit_and_is_told_which_one_it_was() -> None:
    async def story() -> None:
        made = limiter(Policy(), Clock())
        caller = key("3/m", "20 rows/h")
        assert [made.spend(caller, "", "m", 1, 1) for _ in range(5)] == [True] * 3 + [False] * 2
        with pytest.raises(RateLimited) as caught:
            await made.charge(caller, "", "m", 1, 1)
        assert caught.value.detail == (
            "key:x may make 3 requests per minute; none are left. There is room again in 61 s."
        )
        assert (caught.value.limit, caught.value.remaining, caught.value.reset_s) == (3, 0, 61)
        await made.charge(caller, "", "m", 0, 17)
        with pytest.raises(RateLimited, match="key:x may make 20 rows per hour; none are left"):
            await made.charge(caller, "", "m", 0, 1)
        await made.close()

    asyncio.run(story())


def test_a_request_larger_than_the_limit_is_told_that_it_can_never_pass() -> None:
    async def story() -> None:
        made = limiter(Policy(tenant=rates("100 rows/m")), Clock())
        with pytest.raises(RateLimited, match="this request alone has 101: it can never pass") as caught:
            await made.charge(key(tenant="t"), "", "m", 0, 101)
        assert caught.value.never
        assert caught.value.instance_code == "rate_too_small"
        await made.charge(key(tenant="t"), "", "m", 0, 100)
        await made.close()

    asyncio.run(story())


def test_two_callers_of_a_tenant_share_and_other_tenants_do_not() -> None:
    async def story() -> None:
        made = limiter(Policy(tenant=rates("4/m")), Clock())
        one, two, other = key(name="key:1", tenant="t"), key(name="key:2", tenant="t"), key(name="key:3", tenant="u")
        taken = [made.spend(who, "", None, 1, 0) for who in (one, two, one, two, one, two, other)]
        assert taken == [True] * 4 + [False] * 2 + [True]
        await made.close()

    asyncio.run(story())


def test_what_is_not_limited_is_spent_without_counting() -> None:
    made = limiter(Policy(address=rates("10/s")), Clock())  # no loop runs: nothing may be set up
    assert all(made.spend(key(), "203.0.113.7", "m", 1, 1) for _ in range(100))
    assert all(made.spend(anonymous(frozenset()), "", "m", 1, 1) for _ in range(100))


def test_a_model_is_protected_from_all_its_callers_together() -> None:
    async def story() -> None:
        made = limiter(Policy(model={"m": rates("5/m")}), Clock())
        callers = [key(name=f"key:{number}") for number in range(10)]
        assert sum(made.spend(who, "", "m", 1, 1) for who in callers) == 5
        assert all(made.spend(who, "", "other", 1, 1) for who in callers)
        await made.close()

    asyncio.run(story())


def test_purses_are_settled_and_given_back_so_that_nothing_is_lost() -> None:
    async def story() -> None:
        clock = Clock()
        made = limiter(Policy(), clock)
        caller = key("1000/m")
        for _ in range(20):
            for _ in range(10):
                assert made.spend(caller, "", "m", 1, 1)
            await asyncio.sleep(HELD_S / 2)
        await asyncio.sleep(HELD_S * 3)
        assert not made._active
        assert made._timer is None
        assert sum(made.spend(caller, "", "m", 1, 1) for _ in range(2000)) == 800
        await made.close()

    asyncio.run(story())


def test_a_purse_keeps_a_portion_for_an_interval_and_gives_back_what_is_left_after_another() -> None:
    purse = Purse(None, [Bucket("key", "x", Rate(100, 60))])
    first, second = Mark("file", 1.0), Mark("file", 2.0)
    purse.fill(Granted(Amount(10, 0), first))
    assert purse.spend(4, 1000), "rows are not limited"
    assert purse.settle() is None
    assert (purse.requests, purse.usual) == (6, Amount(4, 0))
    purse.fill(Granted(Amount(5, 0), second))
    assert purse.spend(3, 0)
    assert purse.settle() == (Amount(3, 0), first), "what was counted first is spent first"
    assert purse.spend(5, 0)
    assert not purse.spend(1, 0)
    assert purse.settle() is None
    assert purse.active
    assert purse.settle() is None
    assert not purse.active


def test_what_one_place_counted_is_not_given_back_to_another() -> None:
    purse = Purse(None, [Bucket("key", "x", Rate(100, 60))])
    here, there = Mark("file", 1.0), Mark("redis", 2.0)
    assert purse.fill(Granted(Amount(10, 0), here)) is None
    assert purse.spend(4, 0)
    assert purse.fill(Granted(Amount(20, 0), there)) == (Amount(6, 0), here)
    assert purse.requests == 20
    assert purse.spend(5, 0)
    assert purse.settle() is None
    assert purse.usual == Amount(9, 0), "what was spent of both"
    assert purse.settle() == (Amount(15, 0), there)


class Places:
    """Counters of two places: which one counts next is ``place``."""

    held_s = HELD_S

    def __init__(self) -> None:
        self.place = "redis"
        self.given: list[tuple[str, int]] = []

    def take(self, buckets: Sequence[Bucket], need: Amount, want: Amount) -> Granted:
        return Granted(Amount(need.requests + len(self.place), 0), Mark(self.place, 1.0))

    async def ask(self, buckets: Sequence[Bucket], need: Amount, want: Amount) -> Granted:
        return self.take(buckets, need, want)

    def give(self, buckets: Sequence[Bucket], amount: Amount, mark: Mark) -> None:
        self.given.append((mark.place, amount.requests))


def test_when_the_place_of_counting_changes_the_rest_goes_back_where_it_was_counted() -> None:
    async def story() -> None:
        counters = Places()
        made, caller = SharedLimiter(Policy(), counters, alone(1, Clock())), key("1000/m")
        assert made.spend(caller, "", "m", 1, 1)
        counters.place = "a file"
        await made.charge(caller, "", "m", 9, 1)
        assert counters.given == [("redis", 5)]
        await made.close()
        assert [place for place, _ in counters.given] == ["redis", "a file"]

    asyncio.run(story())


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(HELD_S / 2)
    raise AssertionError("it never came to hold")


class Failing(Places):
    """Takes nothing back for a while."""

    failing = True

    def give(self, buckets: Sequence[Bucket], amount: Amount, mark: Mark) -> None:
        if self.failing:
            raise ValueError("it cannot be given back")
        super().give(buckets, amount, mark)


def test_a_fault_with_one_purse_ends_giving_back_for_no_other_and_not_for_good() -> None:
    async def story() -> None:
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(repr(context["exception"])))
        counters = Failing()
        made = SharedLimiter(Policy(), counters, alone(1, Clock()))
        first, second = key("1000/m", name="key:1"), key("1000/m", name="key:2")
        assert all(made.spend(who, "", "m", 1, 1) for who in (first, second))
        await until(lambda: bool(told))
        assert told[0].count("it cannot be given back") == 2, "both had their turn"
        counters.failing = False
        assert made.spend(first, "", "m", 6, 1)
        await until(lambda: not made._active)
        assert counters.given
        assert made._timer is None
        await made.close()

    asyncio.run(story())


class Racing:
    """Words of a slot that another process takes from between a look and a change, and that are never below 0."""

    def __init__(self, size: int) -> None:
        self.words = [0] * size

    def __getitem__(self, at: int) -> int:
        found = self.words[at]
        if found > 1 and at >= 4:  # behind the slot's head
            self.words[at] -= 1
        return found

    def __setitem__(self, at: int, value: int) -> None:
        if value < 0:
            raise ValueError("below 0")
        self.words[at] = value


def test_what_several_take_off_at_once_never_falls_below_nothing() -> None:
    words = Racing(Table.length(1, 4))
    table = Table(cast("memoryview", words), 1, 4, bytes(16), 0.0)
    words.words[4 + 1 % 4] = 3
    words.words[2] = 1  # the newest part
    table.uncount(0, 1, 5)
    assert words.words[4 + 1 % 4] == 0


def test_the_purses_of_callers_that_left_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.security.limits.limiter.MAX_PURSES", 50)

    async def story() -> None:
        made = limiter(Policy(), Clock())
        for number in range(200):
            assert made.spend(key("1000/m", name=f"key:{number}"), "", None, 0, 1)
            assert len(made._purses) <= 50
        await made.close()

    asyncio.run(story())


def test_who_guesses_credentials_is_refused_and_nobody_else() -> None:
    async def story() -> None:
        clock = Clock()
        made = limiter(Policy(), clock)
        for number in range(15):
            made.failed(counted_as(f"2001:db8::{number:x}", here=False))
        with pytest.raises(RateLimited, match="2001:db8::/64 may present 10 wrong credentials per minute"):
            await made.suspect(counted_as("2001:db8::ffff", here=False))
        await made.suspect(counted_as("2001:db8:0:1::1", here=False))
        for _ in range(100):
            made.failed("")
        await made.suspect("")
        clock.now_s += 70
        await made.suspect(counted_as("2001:db8::1", here=False))

    asyncio.run(story())


def test_without_a_limit_for_failures_nobody_is_suspected() -> None:
    async def story() -> None:
        made = limiter(Policy(), Clock(), None)
        for _ in range(100):
            made.failed("203.0.113.7")
        await made.suspect("203.0.113.7")

    asyncio.run(story())
