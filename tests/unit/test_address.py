"""Binding: what cannot be bound is explained by what it means, and the address shown is one that works."""

from __future__ import annotations

import errno
import socket

import pytest

from foretell.cli.serving.address import bind, bind_again, bind_each, fault, url
from foretell.errors import OperatorError, PortInUse, SettingsError
from foretell.settings import Settings


def test_port_0_takes_a_free_one() -> None:
    with bind(Settings(port=0)) as bound:
        assert url(bound) == f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("localhost", None), ("::1", "[::1]"), ("::", "[::1]")]
)
def test_the_address_shown_is_one_a_browser_here_can_use(host: str, shown: str | None) -> None:
    if ":" in host and not _has_ipv6():
        pytest.skip("this machine has no IPv6")
    with bind(Settings(host=host, port=0)) as bound:
        port = bound.getsockname()[1]
        assert url(bound) in (
            [f"http://{shown}:{port}"] if shown else [f"http://127.0.0.1:{port}", f"http://[::1]:{port}"]
        )


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def test_a_port_in_use_names_the_address_and_how_to_find_another() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortInUse, match=f"127.0.0.1:{port} is in use") as caught:
            bind(Settings(port=port))
    assert caught.value.exit_code == 69
    assert f"--port {port + 1 if port < 65_535 else 8000} or --port 0" in str(caught.value.hint)


@pytest.mark.parametrize("host", ["10.255.255.1", "no.such.host.invalid", "a" * 64 + ".b"])
def test_a_host_that_is_not_here_is_a_setting_to_mend(host: str) -> None:
    with pytest.raises(SettingsError, match="is not an address of this machine"):
        bind(Settings(host=host, port=0))


def test_several_sockets_share_one_port_and_the_kernel_deals_connections_out() -> None:
    with bind_each(Settings(port=0), 2) as sockets:
        assert len({bound.getsockname() for bound in sockets}) == 1
        for bound in sockets:
            bound.listen()
            bound.setblocking(False)
        callers = [socket.create_connection(sockets[0].getsockname()) for _ in range(64)]
        counts = [_accepted(bound) for bound in sockets]
        assert sum(counts) == 64
        assert all(counts)
        for caller in callers:
            caller.close()


def _accepted(bound: socket.socket) -> int:
    count = 0
    while True:
        try:
            bound.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def test_a_port_shared_by_another_servers_workers_is_in_use() -> None:
    with bind_each(Settings(port=0), 2) as sockets:
        port = sockets[0].getsockname()[1]
        with pytest.raises(PortInUse), bind_each(Settings(port=port), 2):
            pass


def test_connections_that_linger_from_an_earlier_server_do_not_keep_the_port() -> None:
    with bind(Settings(port=0)) as earlier:
        earlier.listen()
        port = earlier.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as caller:
            earlier.accept()[0].close()  # closed by the server first, so that its end stays in TIME_WAIT
            assert caller.recv(1) == b""
    with bind_each(Settings(port=port), 2) as sockets:
        assert [bound.getsockname()[1] for bound in sockets] == [port, port]


def test_a_socket_that_is_bound_again_takes_the_place_of_the_old_one() -> None:
    with bind_each(Settings(port=0), 2) as sockets:
        old = sockets[0]
        place = old.getsockname()
        sockets[0] = bind_again(old)
        assert sockets[0].getsockname() == place
        assert old.fileno() == -1


def test_a_port_of_the_superuser_is_explained() -> None:
    error = fault(OSError(errno.EACCES, "Permission denied"), Settings(port=80))
    assert isinstance(error, OperatorError)
    assert "ports below 1024" in error.detail
    assert error.hint == "--port 8081 takes another"


def test_the_next_port_after_the_last_is_the_default() -> None:
    assert "--port 8000 or" in str(fault(OSError(errno.EADDRINUSE, "in use"), Settings(port=65_535)).hint)
