"""Groups of settings for what stands between callers and the application: limits below HTTP, proxies, CORS."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from foretell.core.hosts import host_pattern
from foretell.core.proxies import network
from foretell.settings_groups import Group

_ORIGIN = re.compile(r"https?://([a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_TOKEN = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,64}")
_DEFAULT_PORTS = {"http://": ":80", "https://": ":443"}


class Wire(Group):
    hosts: tuple[str, ...] = Field(
        default=(),
        description="Names that requests may put into `Host`, such as `api.example.com, *.example.com`; `*` is every "
        "name. Default: the names of this machine on a loopback address, every name elsewhere.",
    )
    head_s: float = Field(
        default=10.0, gt=0, le=3600, description="Seconds the head of a request may take to come, and a connection to "
        "begin with one."
    )  # fmt: skip
    body_s: float = Field(
        default=30.0, gt=0, le=86_400, description="Seconds a body may take to come, and one more for each megabyte; "
        "streams have `limits.stream_idle_s`."
    )  # fmt: skip
    body_grace_s: float = Field(
        default=5.0, ge=0, le=3600, description="Seconds before `wire.min_body_rate` is asked of a body."
    )
    min_body_rate: int = Field(
        default=1024, ge=0, le=1024**3, description="Bytes a second that a body must come with on average; 0 asks none."
    )
    write_stall_s: float = Field(
        default=30.0,
        gt=0,
        le=3600,
        description="Seconds after which a connection is cut whose caller does not read its answer, or reads less "
        "than a kilobyte a second.",
    )
    max_target_bytes: int = Field(
        default=8 * 1024, ge=256, le=1024 * 1024, description="Longest path and query of a request, in bytes."
    )
    max_header_bytes: int = Field(
        default=8 * 1024, ge=256, le=1024 * 1024, description="Largest single header, in bytes."
    )
    max_head_bytes: int = Field(
        default=32 * 1024, ge=1024, le=4 * 1024 * 1024, description="All headers of a request together, in bytes."
    )
    max_headers: int = Field(default=100, ge=8, le=10_000, description="Headers of a request.")
    max_chunks: int = Field(
        default=16_384, ge=16, le=10_000_000, description="Chunks of a body that comes in chunks; streams have as many "
        "as they like."
    )  # fmt: skip
    max_connections: int = Field(
        default=2000, ge=8, le=1_000_000, description="Connections of one worker, or as many as its limit of open "
        "files has room for; who comes beyond is answered 503."
    )  # fmt: skip
    max_connections_per_address: int = Field(
        default=100, ge=0, le=1_000_000, description="Connections from one address (IPv6: one /64) to one worker; "
        "0 counts none. A trusted proxy may have any number."
    )  # fmt: skip
    compressed: bool = Field(
        default=False, description="Whether bodies with `Content-Encoding: gzip` or `deflate` are read; else they are "
        "answered 415."
    )  # fmt: skip
    max_ratio: int = Field(
        default=100, ge=2, le=1100, description="How many times its size a compressed body may grow to, within "
        "`limits.max_body_bytes`."
    )  # fmt: skip
    hsts_s: int = Field(
        default=31_536_000, ge=0, le=63_072_000, description="Seconds for which browsers are told to come by HTTPS "
        "alone (`Strict-Transport-Security`), where they came by it; 0 tells them nothing."
    )  # fmt: skip

    @field_validator("hosts", mode="before")
    @classmethod
    def _host_names(cls, given: Any) -> Any:
        return _words(given, lambda text: text if text == "*" else host_pattern(text), "names of hosts")


class Proxy(Group):
    trusted: tuple[str, ...] = Field(
        default=(),
        description="Proxies whose word about the caller counts: addresses, networks such as `10.0.0.0/8`, or `unix` "
        "for a Unix socket. Nobody else is asked.",
    )
    header: Literal["x-forwarded-for", "forwarded"] = Field(
        default="x-forwarded-for",
        description="Where they say who called; with `x-forwarded-for` the scheme stands in `X-Forwarded-Proto`.",
    )

    @field_validator("trusted", mode="before")
    @classmethod
    def _networks(cls, given: Any) -> Any:
        return _words(given, network, "networks")


class Cors(Group):
    origins: tuple[str, ...] = Field(
        default=(),
        description="Origins whose pages may call, such as `https://shop.example.com`; `*` is every page.",
    )
    headers: tuple[str, ...] = Field(
        default=("authorization", "content-type", "x-api-key", "x-request-id", "x-request-timeout"),
        description="Headers those pages may send.",
    )
    credentials: bool = Field(
        default=False, description="Whether browsers send cookies and certificates along; not with `*`."
    )
    max_age_s: int = Field(
        default=600, ge=0, le=86_400, description="Seconds a browser may remember what it was allowed."
    )

    @field_validator("origins", mode="before")
    @classmethod
    def _origins(cls, given: Any) -> Any:
        return _words(given, _origin, "origins")

    @field_validator("headers", mode="before")
    @classmethod
    def _headers(cls, given: Any) -> Any:
        return _words(given, _header_name, "names of headers")

    @model_validator(mode="after")
    def _no_star_with_credentials(self) -> Self:
        if self.credentials and "*" in self.origins:
            raise ValueError("cors.credentials lets pages act as their visitor, so cors.origins must name them, not *")
        return self


def _words(given: Any, read: Callable[[str], str], what: str) -> tuple[str, ...]:
    """Words from a list or a text with commas, each as ``read`` makes it."""
    words = given.split(",") if isinstance(given, str) else given
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ValueError(f"must be {what} with commas between them")
    return tuple(dict.fromkeys(read(word) for word in words if word.strip()))


def _origin(text: str) -> str:
    origin = text.strip().lower()
    for scheme, port in _DEFAULT_PORTS.items():  # browsers leave them out
        if origin.startswith(scheme):
            origin = origin.removesuffix(port)
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        raise ValueError("must be origins such as https://shop.example.com, without a path, or *")
    return origin


def _header_name(text: str) -> str:
    name = text.strip().lower()
    if not _TOKEN.fullmatch(name):
        raise ValueError("must be names of headers such as x-trace")
    return name
