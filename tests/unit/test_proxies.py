"""Who calls, behind proxies: nobody but a declared one is believed, and no further than the first that is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.core.proxies import UNIX, Caller, Proxies, network

TRUSTED = Proxies(["10.0.0.0/8", "127.0.0.1", "fd00::/8"])
RFC = Proxies(["10.0.0.0/8"], "forwarded")


def said(*values: str, name: bytes = b"x-forwarded-for") -> list[tuple[bytes, bytes]]:
    return [(name, value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("values", "address"),
    [
        (["1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (["6.6.6.6, 1.2.3.4, 10.0.0.2, 10.9.9.9"], "1.2.3.4"),
        (["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
        (["1.2.3.4:5678"], "1.2.3.4"),
        (["[2001:db8::1]:443"], "2001:db8::1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["6.6.6.6, unknown"], "10.0.0.1"),
        (["6.6.6.6, "], "10.0.0.1"),
        (["6.6.6.6, 1.2.3.4, junk, 10.0.0.3"], "10.0.0.3"),
        (["' or 1=1"], "10.0.0.1"),
        (["1.2.3.4" + " " * 5000], "10.0.0.1"),
        (["6.6.6.6, " * 1000 + "1.2.3.4"], "1.2.3.4"),
        (["x" * 9000, "1.2.3.4"], "1.2.3.4"),
        (["7.7.7.7" + "," * 4088 + "1.2.3.4"], "1.2.3.4"),
        (["10.0.0.2, " * 1000], "10.0.0.1"),
        ([], "10.0.0.1"),
    ],
)
def test_the_chain_is_read_from_the_right_as_far_as_it_is_trusted(values: list[str], address: str) -> None:
    assert TRUSTED.caller("10.0.0.1", "http", said(*values)) == Caller(address, "http")


def test_nobody_else_is_believed() -> None:
    headers = [*said("1.2.3.4"), (b"x-forwarded-proto", b"https"), (b"forwarded", b"for=1.2.3.4;proto=https")]
    for peer in ("9.9.9.9", "::1", "2001:db8::5", None, "nonsense"):
        assert TRUSTED.caller(peer, "http", headers) == Caller(peer, "http")
        assert Proxies().caller(peer, "http", headers) == Caller(peer, "http")
    assert not Proxies()


def test_only_the_header_that_was_named_is_read() -> None:
    assert TRUSTED.caller("10.0.0.1", "http", said("for=6.6.6.6", name=b"forwarded")).address == "10.0.0.1"
    assert RFC.caller("10.0.0.1", "http", said("6.6.6.6")).address == "10.0.0.1"


@pytest.mark.parametrize(
    ("value", "caller"),
    [
        ("for=1.2.3.4", Caller("1.2.3.4", "http")),
        ("for=6.6.6.6, for=1.2.3.4;proto=https;by=10.0.0.1", Caller("1.2.3.4", "https")),
        ('For="[2001:db8::1]:99" ; Proto=HTTPS', Caller("2001:db8::1", "https")),
        ("for=1.2.3.4;proto=https, for=10.0.0.7;proto=http", Caller("1.2.3.4", "https")),
        ("for=_hidden;proto=https", Caller("10.0.0.1", "https")),
        ("for=unknown", Caller("10.0.0.1", "http")),
        ("for=6.6.6.6, ;;=", Caller("10.0.0.1", "http")),
        ('for="6.6.6.6, for=1.2.3.4"', Caller("10.0.0.1", "http")),
        ("proto=gopher;for=1.2.3.4", Caller("1.2.3.4", "http")),
    ],
)
def test_forwarded_as_in_rfc_7239(value: str, caller: Caller) -> None:
    assert RFC.caller("10.0.0.1", "http", said(value, name=b"Forwarded")) == caller


@pytest.mark.parametrize(
    ("value", "scheme"),
    [("https", "https"), ("HTTPS", "https"), ("https, http", "http"), ("http,https", "https"), ("x", "http")],
)
def test_the_scheme_is_what_the_nearest_proxy_says(value: str, scheme: str) -> None:
    headers = [*said("1.2.3.4"), (b"X-Forwarded-Proto", value.encode())]
    assert TRUSTED.caller("10.0.0.1", "http", headers).scheme == scheme


def test_a_unix_socket_can_be_trusted_too() -> None:
    assert Proxies([UNIX]).caller(None, "http", said("1.2.3.4")).address == "1.2.3.4"
    assert TRUSTED.trusts("::ffff:10.1.2.3")
    assert TRUSTED.trusts("fd00::1%eth0")


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=30), max_size=5), st.booleans())
def test_asking_again_with_the_answer_gives_the_answer(values: list[str], rfc: bool) -> None:
    proxies, name = (RFC, b"forwarded") if rfc else (TRUSTED, b"x-forwarded-for")
    first = proxies.caller("10.0.0.1", "http", said(*values, name=name))
    assert proxies.caller(first.address, first.scheme, said(*values, name=name)).address == first.address


@pytest.mark.parametrize(
    ("text", "meant"), [(" 10.0.0.0/8", "10.0.0.0/8"), ("1.2.3.4", "1.2.3.4/32"), ("UNIX", "unix")]
)
def test_networks_as_people_write_them(text: str, meant: str) -> None:
    assert network(text) == meant


@pytest.mark.parametrize("text", ["*", "10.0.0.1/8", "example.com", "10.0.0.0/33", ""])
def test_what_is_no_network(text: str) -> None:
    with pytest.raises(ValueError, match="must be networks"):
        network(text)
