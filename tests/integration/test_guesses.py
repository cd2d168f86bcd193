"""Guessing keys from many addresses at once: nobody gets in, nothing grows, and nobody who has a key is held up."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

import pytest

from foretell.core.access.address import counted_as
from foretell.core.access.api_key import ID_CHARS, SECRET_BYTES, mint
from foretell.core.access.credentials import Credential
from foretell.core.access.decision import Action
from foretell.core.access.grant import Grant
from foretell.core.access.rates import Rate
from foretell.errors import RequestError
from foretell.limiting import open_limiter
from foretell.security.audit import Author
from foretell.security.gate import Gate
from foretell.security.keys.opening import serve_keys
from foretell.security.limits.file import FILE
from foretell.security.limits.local import ADDRESS_RING, ADDRESS_SLOTS
from foretell.security.limits.table import Table
from foretell.security.openness import stranger
from foretell.settings import Settings
from tests.report import Report

AT_ONCE = 1000
STUBBORN = 50
MOST_ENTRIES = 10_000
PREDICT = Action("predict", "iris")
GRANT = Grant("partner-x", "partner-x", frozenset({"predict"}), rates=(Rate.parse("1M/m"),))


class Guessers:
    """Half of them guess again and again from a few addresses, half come from an address of their own each."""

    def __init__(self, gate: Gate, seed: int = 66) -> None:
        self.outcomes: Counter[str] = Counter()
        self._gate = gate
        self._random = random.Random(seed)

    async def guess(self, number: int) -> None:
        address = (
            f"203.0.113.{number % STUBBORN}" if number % 2 else f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
        )
        # one in two could be a key, so that the database has to be looked at
        well_formed = number // 2 % 2
        text = mint(self._random.randbytes(ID_CHARS + SECRET_BYTES))[1] if well_formed else f"ft_guess_{number}"
        self.outcomes[await self.ask(text, address)] += 1

    async def ask(self, key: str, address: str) -> str:
        """What the gate says to a key from an address."""
        counted = counted_as(address, here=False)
        try:
            principal = await self._gate.identify(Credential("key", key.encode()), PREDICT, counted, loopback=False)
            await self._gate.admit(principal, PREDICT, counted)
        except RequestError as error:
            return error.instance_code
        return "admitted"


def counted_addresses(state: Path) -> int:
    """How many addresses the counter file holds."""
    slot = Table.length(1, ADDRESS_RING)
    words = memoryview((state / FILE).read_bytes()).cast("Q")[-Table.length(ADDRESS_SLOTS, ADDRESS_RING) :]
    return sum(words[start] != 0 for start in range(0, len(words), slot))


@pytest.mark.parametrize(
    "tries", [10_000, pytest.param(1_000_000, marks=[pytest.mark.torture, pytest.mark.timeout(1800)])]
)
def test_who_guesses_fills_no_memory_and_locks_out_nobody(tmp_path: Path, tries: int, report: Report) -> None:
    valid: Counter[str] = Counter()

    async def story() -> tuple[Counter[str], int]:
        with serve_keys(tmp_path, closed=True) as keys:
            key = keys.store.create(GRANT, Author("tests"))[1]
            async with open_limiter(Settings.model_validate({"state": {"folder": tmp_path}})) as limiter:
                gate = Gate(
                    {"key": keys.keyring},
                    limiter,
                    lambda loopback: stranger("on", loopback=loopback, closed=True),
                    time.time,
                )
                guessers = Guessers(gate)
                for start in range(0, tries, AT_ONCE):
                    guessing = [guessers.guess(number) for number in range(start, start + AT_ONCE)]
                    knowing = [guessers.ask(key, f"203.0.113.{number}") for number in range(STUBBORN)]
                    *_, heard = await asyncio.gather(*guessing, asyncio.gather(*knowing))
                    valid.update(heard)
                return guessers.outcomes, len(limiter._purses)

    outcomes, purses = asyncio.run(story())
    addresses = counted_addresses(tmp_path)
    report(
        "Guesses of keys from many addresses fill no memory and lock out nobody",
        bar=f"{MOST_ENTRIES:,} entries, 0 errors of valid callers",
        tries=outcomes.total(),
        entries=addresses,
        told_unknown=outcomes["credential_invalid"],
        told_to_wait=outcomes["rate_limited"],
        valid_requests=valid.total(),
        valid_errors=valid.total() - valid["admitted"],
    )
    assert set(outcomes) == {"credential_invalid", "rate_limited"} and outcomes.total() == tries
    assert outcomes["rate_limited"] > tries * 0.4, "those who go on from one address are held off"
    assert set(valid) == {"admitted"}
    assert 0 < addresses <= ADDRESS_SLOTS <= MOST_ENTRIES
    assert purses == 1
