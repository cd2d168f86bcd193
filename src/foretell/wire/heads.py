"""Judges the head of a request before anybody looks at what it asks for. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from foretell.core.hosts import Hosts, host_name
from foretell.settings import Wire
from foretell.wire.refusals import (
    CODING,
    HEAD_TOO_LARGE,
    HOST_MALFORMED,
    MALFORMED,
    MISDIRECTED,
    TARGET,
    TARGET_TOO_LONG,
    UPGRADE_WITH_BODY,
    Refusal,
)

Headers = Sequence[tuple[bytes, bytes]]


def judge(url: bytes, headers: Headers, version: str, hosts: Hosts, limits: Wire, *, upgrade: bool) -> Refusal | None:
    """Why a request is refused before it is looked at; None where it is not.

    ``headers`` as they came; ``upgrade``: the request offers another protocol.
    """
    if len(url) > limits.max_target_bytes:
        return TARGET_TOO_LONG
    return (
        _size_fault(headers, limits)
        or _framing_fault(url, headers, version, upgrade=upgrade)
        or _host_fault(url, headers, version, hosts)
    )


def _size_fault(headers: Headers, limits: Wire) -> Refusal | None:
    sizes = [len(name) + len(value) for name, value in headers]
    if len(sizes) > limits.max_headers or (
        sizes and (max(sizes) > limits.max_header_bytes or sum(sizes) > limits.max_head_bytes)
    ):
        return HEAD_TOO_LARGE
    return None


def _framing_fault(url: bytes, headers: Headers, version: str, *, upgrade: bool) -> Refusal | None:
    """What two readers of one connection could take for different requests."""
    if version not in ("1.1", "1.0"):
        return MALFORMED
    if b"#" in url:
        return TARGET
    codings = [value.strip().lower() for name, value in headers if name.lower() == b"transfer-encoding"]
    if codings and (codings != [b"chunked"] or version == "1.0"):
        return CODING
    lengths = [value for name, value in headers if name.lower() == b"content-length"]
    if len(lengths) > 1 or any(not value.isdigit() for value in lengths) or (lengths and codings):
        return MALFORMED
    if upgrade and (codings or any(int(value) for value in lengths)):
        # the parser would take the body for the other protocol's, and what follows for the next request
        return UPGRADE_WITH_BODY
    return None


def _host_fault(url: bytes, headers: Headers, version: str, hosts: Hosts) -> Refusal | None:
    """HTTP/1.0 knows no Host; where it sends one, it is as good as any."""
    given = [value for name, value in headers if name.lower() == b"host"]
    if not given and version == "1.0":
        return None
    if len(given) != 1:
        return HOST_MALFORMED
    if not url.startswith(b"/") and url != b"*":
        scheme, found, rest = url.partition(b"://")
        authority = rest.partition(b"/")[0].partition(b"?")[0]
        if not found or scheme.lower() not in (b"http", b"https") or host_name(authority) != host_name(given[0]):
            return TARGET
    fault = hosts.fault(given[0])
    if fault is None:
        return None
    return MISDIRECTED if fault == "misdirected" else HOST_MALFORMED
