"""Where there is no file for one more connection. ``tests/e2e/test_crowds.py`` has it around a real server."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from structlog.testing import capture_logs

from foretell.cli.serving import server as serving
from foretell.cli.serving.address import UNSENT_BYTES
from foretell.cli.serving.server import Server
from foretell.settings import Settings
from foretell.wire import files
from foretell.wire.defence import Defence


class Files:
    """As many files are left as the test says."""

    def __init__(self, left: int) -> None:
        self.left = left

    def look_at_files(self, count: int = 1) -> bool:
        return self.left >= count


class Greeting(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        transport.write(b"hello")
        transport.close()


def test_callers_wait_with_the_system_until_there_are_files_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "BUSY_S", -1.0)  # it is busy with them
    server: Any = Server(Settings())
    there, greeted = Files(1), list[object]()

    def greet(**_: Any) -> asyncio.Protocol:
        greeted.append(None)
        return Greeting()

    server.lifespan, server.config.http_protocol_class = SimpleNamespace(state={"wire": there}), greet

    async def story(bound: socket.socket) -> None:
        address = bound.getsockname()
        await server._listen()
        assert bound.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == UNSENT_BYTES
        first, writer = await asyncio.open_connection(*address)
        assert await first.read() == b"hello"
        writer.close()
        there.left = 0
        await server._look_at_files()
        there.left = 1  # that of the door itself
        await server._look_at_files()
        second, writer = await asyncio.open_connection(*address)
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(greeted) == 1
        there.left = 2
        for _ in range(2):
            await server._look_at_files()
        assert await second.read() == b"hello"
        writer.close()

    async def whole_story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            server._doors = [bound]
            try:
                await asyncio.wait_for(story(bound), 20)
            finally:
                for each in server.servers:
                    each.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(whole_story())


def test_a_loop_that_is_not_busy_goes_on_turning_callers_away() -> None:
    server: Any = Server(Settings())
    server.lifespan = SimpleNamespace(state={"wire": Files(0)})
    server._used_s = 1e9
    asyncio.run(server._look_at_files())
    assert not server._shut


def test_the_log_says_that_no_file_is_left() -> None:
    defence = Defence(Settings(), free_files=1000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with capture_logs() as lines:
        assert defence.look_at_files()
        assert not lines
        lowest = os.dup(0)  # all below are taken
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
        try:
            left, room = defence.look_at_files(), files.free()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            os.close(lowest)
    assert not left
    assert room == lowest, "where not even that can be looked at, the limit is all that is known"
    assert [(line["event"], line["log_level"], line["limit"]) for line in lines] == [("out_of_files", "error", lowest)]
