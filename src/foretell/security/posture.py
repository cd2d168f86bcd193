"""The posture of a server: which of its defaults are weakened, and what it says of itself when it starts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from foretell.core.weaknesses import Weakness
from foretell.errors import RiskNotAccepted
from foretell.security.tls.files import Leaf
from foretell.settings import Settings

FACTS = "facts"
"""Under this name the lifespan's state holds what gives the facts of the moment, where our own server listens."""

CEILINGS: Mapping[str, float] = {
    "limits.max_body_bytes": 64 * 1024 * 1024,
    "limits.timeout_s": 600,
    "limits.max_json_depth": 128,
    "keep_alive_s": 120,
    "drain_s": 300,
    "wire.head_s": 60,
    "wire.body_s": 600,
    "wire.write_stall_s": 300,
    "wire.max_target_bytes": 64 * 1024,
    "wire.max_head_bytes": 128 * 1024,
    "wire.max_headers": 500,
    "wire.max_chunks": 65_536,
}
"""Beyond these a limit hardly limits what one caller can take."""
NO_LIMIT = ("wire.min_body_rate", "wire.max_connections_per_address")
"""For these 0 means that there is none."""

_ENDLESS = {
    "anonymous": "Callers without a credential may come as often as they like.",
    "failures": "Credentials may be guessed as fast as the server answers.",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What the settings do not say.

    address          the address that is listened on; None where another server's socket is served
    port             its port
    root             whether the process runs as the superuser
    key_readable     whether every user of this machine can read the private key
    secrets_readable the settings that are secrets and stand in a file which every user of this machine can read
    models_writable  whether the process, not being root, may change the models it serves
    leaf             the certificate in use
    outdated         libraries that are older than this server needs, as ``floors.outdated`` tells them
    """

    address: str | None
    port: int = 0
    root: bool = False
    key_readable: bool = False
    secrets_readable: tuple[str, ...] = ()
    models_writable: bool = False
    leaf: Leaf | None = None
    outdated: tuple[str, ...] = ()

    @property
    def bind(self) -> str:
        """The address and port, as people write them."""
        if self.address is None:
            return "by another server"
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"

    @property
    def exposed(self) -> bool:
        """Whether others than this machine can connect, as far as is known."""
        return self.address is not None and not is_loopback(self.address)


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches an IP address."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return bool((mapped or parsed).is_loopback)


def posture(settings: Settings, facts: Facts) -> list[Weakness]:
    """Every weakened default, in the order of their codes."""
    found = [*_on_a_network(settings, facts), *_anywhere(settings, facts)]
    return sorted(found, key=lambda weakness: weakness.code)


def refuse(weaknesses: Sequence[Weakness], settings: Settings, facts: Facts) -> None:
    """Raises RiskNotAccepted where one of them refuses and is not accepted; names every way out."""
    refused = [weakness for weakness in weaknesses if weakness.refuses and weakness.code not in settings.accept_risk]
    if not refused:
        return
    flags = " ".join(f"--accept-risk {weakness.code}" for weakness in refused)
    ways = [f"  {way:<34}  {what}" for way, what in _ways(refused)]
    ways += [f"  {'--host 127.0.0.1':<34}  serve this machine only", f"  {flags:<34}  serve all the same"]
    said = " ".join(f"{weakness.sentence} ({weakness.code})" for weakness in refused)
    raise RiskNotAccepted(f"{facts.bind} is open to the network. {said}", hint="choose\n" + "\n".join(ways))


def _ways(refused: Sequence[Weakness]) -> Iterator[tuple[str, str]]:
    codes = {weakness.code for weakness in refused}
    if "SW03" in codes:
        yield "--tls-cert FILE --tls-key FILE", "serve HTTPS; --tls-self-signed while developing"
        yield "FORETELL_PROXY__TRUSTED=ADDRESS", "trust the proxy at this address, which speaks TLS to callers"
    if "SW01" in codes:
        yield "FORETELL_AUTH__MODE=auto", "ask callers for a key, a token or a certificate"


def _on_a_network(settings: Settings, facts: Facts) -> Iterator[Weakness]:
    if not facts.exposed:
        return
    bind = f"bind={facts.address}"
    if settings.auth.mode == "off":
        yield Weakness("SW01", f"auth=off {bind}", "Anybody may call, without a credential.", "auth.mode = auto or on.")
    if not settings.tls.enabled and not _behind_proxy(settings):
        yield Weakness(
            "SW03",
            f"tls=off {bind}",
            "Keys and predictions travel in clear text.",
            "tls.cert and tls.key, or proxy.trusted, or host 127.0.0.1.",
        )
    for key in ("anonymous", "failures"):
        if not getattr(settings.rates, key):
            yield Weakness("SW23", f"rates.{key}=none {bind}", _ENDLESS[key], f"rates.{key}.")
    if facts.root:
        yield Weakness(
            "SW08",
            f"user=root {bind}",
            "Whoever takes over the server owns the machine.",
            "run it as a user of its own.",
        )
    if settings.docs.enabled and settings.auth.public_docs:
        yield Weakness(
            "SW20",
            f"auth.public_docs=true {bind}",
            "The documentation and the models' signatures are open to all.",
            "auth.public_docs = false.",
        )
    if settings.reload:
        yield Weakness(
            "SW31",
            f"reload=true {bind}",
            "The server starts anew whenever a file changes.",
            "leave out --reload where it is not for development.",
        )
    if facts.models_writable:
        yield Weakness(
            "SW34",
            f"models=writable {bind}",
            "Whoever takes over the server can replace its models.",
            "let the models belong to another user, or mount them read-only.",
        )
    if settings.tls.self_signed:
        yield Weakness(
            "SW36",
            f"tls.self_signed=true {bind}",
            "Callers cannot tell this server from another one.",
            "tls.cert and tls.key of an issuer that callers trust.",
        )


def _anywhere(settings: Settings, facts: Facts) -> Iterator[Weakness]:
    if "*" in settings.cors.origins:
        yield Weakness("SW21", "cors.origins=*", "Any page that a browser shows may call.", "name the origins.")
    for key, ceiling in CEILINGS.items():
        value = _value(settings, key)
        if value > ceiling:
            yield Weakness(
                "SW22",
                f"{key}={value:g}",
                "The limit hardly limits what one caller can take.",
                f"{ceiling:g} or less.",
            )
    for key in NO_LIMIT:
        if not _value(settings, key):
            yield Weakness("SW22", f"{key}=0", "One caller may hold connections without an end.", "1 or more.")
    if any(network.endswith("/0") for network in settings.proxy.trusted):
        yield Weakness("SW24", "proxy.trusted=everybody", "Any caller may claim any address.", "name the proxies.")
    if settings.log.values:
        yield Weakness("SW25", "log.values=true", "The log may hold callers' values.", "log.values = false.")
    if settings.wire.compressed:
        yield Weakness(
            "SW26", "wire.compressed=true", "Small bodies become large ones in memory.", "wire.compressed = false."
        )
    if settings.trust.pickle:
        yield Weakness(
            "SW28",
            f"trust.pickle={','.join(settings.trust.pickle)}",
            "Files of these models run code as this user.",
            "store them as skops or ONNX: foretell add.",
        )
    yield from _readable(facts)
    if facts.outdated:
        yield Weakness(
            "SW35",
            f"libraries={','.join(facts.outdated)}",
            "A library is older than the version whose faults are mended.",
            "pip install --upgrade foretell, in an environment of its own.",
        )
    if settings.core_dumps:
        yield Weakness(
            "SW37",
            "core_dumps=true",
            "A crash leaves keys and callers' values in a file.",
            "core_dumps = false.",
        )


def _readable(facts: Facts) -> Iterator[Weakness]:
    if facts.key_readable:
        yield Weakness(
            "SW33",
            "tls.key=world-readable",
            "Every user of this machine can read the private key.",
            "chmod 600.",
        )
    if facts.secrets_readable:
        yield Weakness(
            "SW33",
            f"{','.join(facts.secrets_readable)}=world-readable",
            "Every user of this machine can read the file that it stands in.",
            "chmod 600.",
        )


def _behind_proxy(settings: Settings) -> bool:
    """Whether a proxy is declared that callers reach us through; a Unix socket's is none for an address."""
    return any(network != "unix" for network in settings.proxy.trusted)


def _value(settings: Settings, key: str) -> float:
    value: Any = settings
    for name in key.split("."):
        value = getattr(value, name)
    return float(value)
