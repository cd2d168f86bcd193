"""One connection to a Redis, which one task at a time uses, and which is closed by whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from foretell.errors import OperatorError

CONNECT_S = 1.0


class Line:
    """One connection, for one task at a time. Whatever goes wrong closes it, so that nothing is left to be read."""

    def __init__(self, connections: Any) -> None:
        self._connections = connections
        self._connection: Any = None

    async def connect(self, timeout_s: float) -> None:
        """Connects anew, and hears from Redis. Raises whatever is in the way."""
        await self.cut()
        connection = self._connections.make_connection()
        try:
            async with asyncio.timeout(timeout_s):
                await connection.connect()
                await connection.send_command("PING", check_health=False)
                await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connection = connection

    async def exchange(self, commands: Sequence[tuple[bytes, ...]], timeout_s: float) -> list[Any]:
        """The replies to the commands, in order; a refusal of one command is its reply.

        Raises TimeoutError, ConnectionError and the like; then the connection is closed.
        """
        from redis.exceptions import ResponseError

        connection, replies = self._connection, []
        if connection is None:
            raise ConnectionError("not connected")
        try:
            async with asyncio.timeout(timeout_s):
                await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
                for _ in commands:
                    try:
                        replies.append(await connection.read_response(disable_decoding=True))
                    except ResponseError as refusal:
                        replies.append(refusal)
        except BaseException:
            if self._connection is connection:
                self._connection = None
            await connection.disconnect(nowait=True)
            raise
        return replies

    async def cut(self) -> None:
        """Closes the connection, if there is one, without waiting for the other end."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def open_connections(url: str, setting: str) -> Any:
    """What makes connections to the ``url`` of a setting.

    Raises OperatorError where it is no address, or the library is not there.
    """
    try:
        from redis.asyncio import ConnectionPool
    except ModuleNotFoundError:
        raise OperatorError(
            f"{setting} is set, and the library for Redis is not installed.", hint="pip install 'foretell[redis]'"
        ) from None
    try:
        return ConnectionPool.from_url(
            url, protocol=2, socket_timeout=None, socket_connect_timeout=CONNECT_S, health_check_interval=0
        )
    except ValueError:  # its text may hold a part of the password
        raise OperatorError(
            f"{setting} is no address of a Redis.",
            hint="it looks like redis://:password@host:6379/0, rediss:// with TLS, or unix:///path/to/socket",
        ) from None
