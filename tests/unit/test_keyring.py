"""Keys in memory: their text, who is known by them, and that a wrong one tells nothing."""

from __future__ import annotations

import asyncio
import hmac
import random
import statistics
import string
import sys
import time
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from foretell.core.access.api_key import ID_CHARS, SECRET_BYTES, id_of, mint
from foretell.core.access.credentials import Credential, presented
from foretell.core.access.grant import Grant, read_duration
from foretell.core.moments import read_moment, timestamp
from foretell.errors import StateAway, Unauthenticated
from foretell.security.audit import Author
from foretell.security.keys.following import Following
from foretell.security.keys.keyring import Keyring
from foretell.security.keys.opening import open_keys
from foretell.security.keys.pepper import Pepper
from foretell.security.keys.record import KeyRecord
from tests.report import Report

PEPPER = Pepper("a pepper of the tests' own, long enough")
CHARACTERS = string.ascii_letters + string.digits


def key_of(number: int) -> bytes:
    return mint(number.to_bytes(ID_CHARS + SECRET_BYTES, "big"))[1].encode()


def record(key: bytes, revision: int = 1, **changes: Any) -> KeyRecord:
    fields: dict[str, Any] = {
        "id": str(id_of(key)), "name": "partner-x", "tenant": "acme", "scopes": frozenset({"predict"}), "models": None,
        "rates": (), "created_s": 1.0, "expires_s": None, "revoked_s": None, "used_s": None, "replaced_by": None,
        "digest": PEPPER.digest(key), "revision": revision,
    }  # fmt: skip
    return KeyRecord(**{**fields, **changes})


def credential(key: bytes) -> Credential:
    return Credential("key", key)


# -- the text of a key -------------------------------------------------------------------------------------------------


@given(st.binary(min_size=ID_CHARS + SECRET_BYTES, max_size=ID_CHARS + SECRET_BYTES))
def test_a_key_is_its_id_a_secret_and_a_checksum(seed: bytes) -> None:
    key_id, key = mint(seed)
    assert key.startswith(f"ft_{key_id}_") and len(key) == len("ft_") + 8 + 1 + 43 + 6
    assert id_of(key.encode()) == key_id
    assert presented([(b"x-api-key", key.encode())]) == credential(key.encode())


@given(st.integers(0, 2**64), st.integers(3, 60), st.sampled_from(CHARACTERS))
def test_one_wrong_character_is_noticed_without_asking_anybody(number: int, place: int, character: str) -> None:
    key = key_of(number).decode()
    mistyped = key[:place] + character + key[place + 1 :]
    assert (id_of(mistyped.encode()) is None) is (mistyped != key)


def test_no_two_secrets_are_alike_and_none_is_cut() -> None:
    assert key_of(0) != key_of(1) and mint(b"\xff" * 40)[1] != mint(b"\xff" * 39 + b"\xfe")[1]
    assert 62**43 > 2**256, "every secret has its own text"
    with pytest.raises(ValueError, match="40 random bytes"):
        mint(b"short")


@pytest.mark.parametrize("text", [b"", b"ft_", b"ft_abcdefgh_", key_of(1) + b"\n", key_of(1)[:-1], b"\xff" * 61])
def test_what_is_no_key_has_no_id(text: bytes) -> None:
    assert id_of(text) is None


@given(st.text(min_size=32, max_size=200), st.binary(max_size=200))
def test_a_digest_is_hmac_sha256(pepper: str, key: bytes) -> None:
    assert Pepper(pepper).digest(key) == hmac.digest(pepper.encode(), key, "sha256")


def test_a_pepper_shows_itself_nowhere() -> None:
    assert "pepper of the tests" not in repr(PEPPER) + str(vars(PEPPER))


# -- who is known ------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_key_is_known_until_it_expires_or_is_revoked() -> None:
    clock = Clock()
    ring = Keyring(PEPPER, clock=clock)
    first, second = key_of(1), key_of(2)
    ring.apply([record(first, expires_s=200.0), record(second)])
    principal = ring.known(credential(first))
    assert principal is not None and (principal.id, principal.tenant) == ("key:partner-x", "acme")
    assert len(ring) == 2 and ring.used_since(99.0) == {id_of(first): 100.0} and ring.used_since(100.0) == {}
    generation = ring.generation
    clock.now_s = 200.0
    assert ring.known(credential(first)) is None and ring.generation == generation + 1
    ring.apply([record(second, revoked_s=150.0)])
    assert ring.known(credential(second)) is None and ring.generation > generation + 1
    assert ring.known(Credential("token", second)) is None


@given(st.lists(st.lists(st.tuples(st.integers(0, 5), st.none() | st.integers(100, 110), st.booleans())), max_size=8))
def test_the_generation_grows_whenever_an_earlier_answer_may_be_wrong(changes: list[list[Any]]) -> None:
    clock = Clock()
    ring = Keyring(PEPPER, clock=clock)
    keys = [key_of(number) for number in range(6)]
    answers: dict[tuple[int, int], bool] = {}
    for change in changes:
        ring.apply([record(keys[n], expires_s=end, revoked_s=1.0 if gone else None) for n, end, gone in change])
        for _ in range(4):
            for number, key in enumerate(keys):
                known = ring.known(credential(key)) is not None
                assert answers.setdefault((ring.generation, number), known) is known
            clock.now_s += 0.5


def test_what_cannot_be_a_key_is_refused_without_asking_the_database() -> None:
    asked: list[int] = []

    async def refresh() -> None:
        asked.append(1)

    ring = Keyring(PEPPER, refresh)
    for wrong in (credential(b"ft_guess"), credential(key_of(1)[:-1] + b"?"), Credential("token", key_of(1))):
        with pytest.raises(Unauthenticated):
            asyncio.run(ring.identify(wrong))
    assert not asked
    with pytest.raises(Unauthenticated):
        asyncio.run(ring.identify(credential(key_of(1))))
    assert asked == [1]


def refused_keys(each: int = 1) -> list[list[bytes]]:
    """Keys that are unknown, that are expired and that were revoked in ``ring_of_refused``."""
    return [[key_of(kind * 1_000_000 + number) for number in range(each)] for kind in (1, 2, 3)]


def ring_of_refused(each: int = 1) -> Keyring:
    """As a worker has it that ran all the time."""
    clock = Clock()
    ring = Keyring(PEPPER, clock=clock)
    _, expired, revoked = refused_keys(each)
    ring.apply([record(key_of(number)) for number in range(1000)])
    ring.apply([*(record(key, expires_s=200.0) for key in expired), *(record(key) for key in revoked)])
    ring.apply([record(key, revoked_s=150.0) for key in revoked])
    assert len(ring) == 1000 + each
    clock.now_s = 200.0
    assert all(ring.known(credential(key)) is None for key in expired), "before anybody looked for expired ones"
    ring.prune()
    assert len(ring) == 1000
    return ring


def test_unknown_expired_and_revoked_are_refused_in_the_same_words() -> None:
    ring = ring_of_refused()
    assert len({refusal(ring, key) for (key,) in refused_keys()}) == 1


def refusal(ring: Keyring, key: bytes) -> tuple[str, str, str | None]:
    with pytest.raises(Unauthenticated) as refused:
        asyncio.run(ring.identify(credential(key)))
    return refused.value.detail, refused.value.instance_code, refused.value.hint


def test_unknown_expired_and_revoked_take_the_same_steps() -> None:
    """The short form of the timing test: not a line of ours is run for the one and not for the other."""
    ring = ring_of_refused()
    assert len({tuple(steps(ring, key)) for (key,) in refused_keys()}) == 1


def steps(ring: Keyring, key: bytes) -> list[int]:
    found: list[int] = []

    def trace(frame: Any, event: str, _: Any) -> Any:
        if "foretell" in frame.f_code.co_filename:
            found.append(frame.f_lineno)
            return trace
        return None

    asked = credential(key)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        assert ring.known(asked) is None
    finally:
        sys.settrace(before)
    assert len(found) > 5
    return found


def test_a_key_that_is_refused_costs_little(report: Report) -> None:
    ring, (unknown, expired, revoked) = ring_of_refused(300), refused_keys(300)
    damaged = [key[:-1] + b"!" for key in unknown]

    def each_us(keys: list[bytes]) -> float:
        began_s = time.process_time()
        for key in keys:
            presented = credential(key)
            assert ring.known(presented) is None
        return (time.process_time() - began_s) * 1e6 / len(keys)

    worst = max(min(each_us(keys) for _ in range(5)) for keys in (unknown, expired, revoked, damaged))
    report("A key that is refused", bar="≤ 50 µs of processor time", keys=len(unknown) * 4, worst_us=worst)
    assert worst <= 50


@pytest.mark.torture
def test_unknown_expired_and_revoked_take_the_same_time() -> None:
    """Welch's t over the quickest nine tenths of each, as dudect has it; each key is asked once, in random order."""
    each, clock = 150_000, time.perf_counter_ns
    ring = ring_of_refused(each)
    asked = [(kind, key) for kind, keys in enumerate(refused_keys(each)) for key in keys]
    random.shuffle(asked)
    # copies, so that neighbours in memory are neighbours in time whatever their kind
    fresh = [(kind, credential(bytes(bytearray(key)))) for kind, key in asked]
    spent: list[list[int]] = [[], [], []]
    for kind, one in fresh:
        began = clock()
        ring.known(one)
        spent[kind].append(clock() - began)
    together = sorted(chain.from_iterable(spent))
    usual = together[len(together) * 9 // 10]
    kept = [[ns for ns in times if ns <= usual] for times in spent]
    assert max(abs(welch(kept[0], other)) for other in kept[1:]) < 4.5


def welch(first: list[int], second: list[int]) -> float:
    spread = statistics.variance(first) / len(first) + statistics.variance(second) / len(second)
    return float((statistics.mean(first) - statistics.mean(second)) / spread**0.5)


# -- following the database --------------------------------------------------------------------------------------------


def test_a_database_that_is_away_leaves_what_is_known_and_is_said_once(tmp_path: Path) -> None:
    with open_keys(tmp_path) as store, capture_logs() as logs:
        _, key = store.create(Grant("x", "x", frozenset({"predict"})), Author("cli:me"))
        following = Following(store, poll_s=3600)
        following.look()
        standing = store.standing

        def away() -> Any:
            raise StateAway("the disk is gone")

        store.standing = away  # type: ignore[method-assign]
        for _ in range(3):
            asyncio.run(following.refresh())
        assert following.keyring.known(credential(key.encode())) is not None
        with pytest.raises(Unauthenticated):
            asyncio.run(following.keyring.identify(credential(key_of(7))))
        store.standing = standing  # type: ignore[method-assign]
        asyncio.run(following.refresh())
    assert [line["event"] for line in logs] == ["keys_not_read", "keys_read_again"]


def test_a_flood_of_unknown_keys_shares_its_looks(tmp_path: Path) -> None:
    with open_keys(tmp_path) as store:
        following = Following(store, poll_s=3600)
        looks: list[int] = []
        look = following.look

        def counted() -> None:
            looks.append(1)
            look()

        following.look = counted  # type: ignore[method-assign]

        async def flood() -> None:
            asked = (following.keyring.identify(credential(key_of(number))) for number in range(500))
            assert all(
                isinstance(error, Unauthenticated) for error in await asyncio.gather(*asked, return_exceptions=True)
            )

        asyncio.run(flood())
        assert 1 <= len(looks) <= 3


def test_uses_are_written_down_now_and_then(tmp_path: Path) -> None:
    with open_keys(tmp_path) as store:
        _, key = store.create(Grant("x", "x", frozenset({"predict"})), Author("cli:me"))
        following = Following(store, poll_s=0.005, used_s=0.0)
        following.start()
        following.keyring.known(credential(key.encode()))
        deadline = time.monotonic() + 30
        while store.get("x")[0].used_s is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        following.stop()
        following.stop()


# -- times -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90d", 90 * 86_400),
        ("24h", 86_400),
        ("0s", 0),
        ("1y", 365 * 86_400),
        (" 2W ", 1_209_600),
        ("never", float("inf")),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert read_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "-1d", "1", "1.5h", "11y", "9999999d", "1 month", "٣d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="such as 30m"):
        read_duration(text)


def test_moments_are_rfc_3339() -> None:
    assert timestamp(1_800_000_000.9) == "2027-01-15T08:00:00Z"
    assert read_moment("2027-01-15T08:00:00Z") == read_moment("2027-01-15T09:00:00+01:00") == 1_800_000_000
    assert read_moment("2027-01-15") == 1_800_000_000 - 8 * 3600
    for wrong in ("soon", "", "2027-13-01", "2027-01-15T08:00:00+99:00"):
        with pytest.raises(ValueError, match="must be a date or time"):
            read_moment(wrong)
