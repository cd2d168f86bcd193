"""How many connections a process may hold, by the files it may open."""

from __future__ import annotations

import pytest

from foretell.settings import Settings
from foretell.settings_tls import Tls
from foretell.wire.defence import RESERVE, Defence


@pytest.mark.parametrize("free", [256, 1024, 4096, 1_000_000])
@pytest.mark.parametrize("encrypted", [False, True])
def test_connections_and_handshakes_together_leave_files_for_the_rest(free: int, encrypted: bool) -> None:
    defence = Defence(Settings(tls=Tls(self_signed=encrypted)), free_files=free)
    held = defence.most + RESERVE + (defence.most_handshakes if encrypted else 0)
    assert held <= free * 0.8
    assert 1 <= defence.most <= 2000
    assert defence.most_handshakes >= 1


def test_with_few_files_there_is_still_room_for_one() -> None:
    defence = Defence(Settings(), free_files=10)
    assert (defence.most, defence.most_handshakes) == (1, 1)
