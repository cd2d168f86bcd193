"""How a command that calls a server shows who it is, and whom it believes."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from foretell.core.hosts import is_loopback
from foretell.errors import OperatorError, PathMissing
from foretell.settings_reading import API_KEY

MAX_KEY_BYTES = 8 * 1024

CaOption = Annotated[
    Path | None, typer.Option("--ca", help="PEM file of who signed the server's certificate. Default: the system's.")
]
CertOption = Annotated[
    Path | None, typer.Option("--cert", help="PEM file of a certificate to show the server, for mTLS.")
]
CertKeyOption = Annotated[
    Path | None, typer.Option("--cert-key", help="PEM file of the certificate's key. Default: the one of --cert.")
]
KeyFileOption = Annotated[
    Path | None, typer.Option("--key-file", help="File with the server's API key. Default: FORETELL_API_KEY.")
]
InsecureKeyOption = Annotated[
    bool, typer.Option("--insecure-key", help="Send the key over plain http to another machine all the same.")
]


@dataclass(frozen=True, slots=True)
class Key:
    """An API key, and where it was found; it is never shown."""

    secret: str = field(repr=False)
    origin: str

    @property
    def headers(self) -> dict[str, str]:
        """What carries it."""
        return {"authorization": f"Bearer {self.secret}"}


@dataclass(frozen=True, slots=True)
class Calling:
    """What the command line says of calling: each of its options, or nothing."""

    ca: Path | None = None
    cert: Path | None = None
    cert_key: Path | None = None
    key_file: Path | None = None
    insecure_key: bool = False

    def none(self, instead: str) -> None:
        """Raises OperatorError where anything was said although no server is called; ``instead`` would name one."""
        if self != Calling():
            raise OperatorError(
                "--ca, --cert, --cert-key, --key-file and --insecure-key are for a server.", hint=instead
            )

    def key(self, url: str, environ: Mapping[str, str] = os.environ) -> Key | None:
        """The key for the server at ``url``.

        Raises OperatorError where it is none, or would be sent for anybody on the way to read.
        """
        found = find_key(self.key_file, environ)
        if found is not None and not self.insecure_key:
            _check_way(found, url)
        return found

    def trust(self, usual: ssl.SSLContext | None) -> ssl.SSLContext | None:
        """Whom to believe, ``usual`` where nothing else is said (None: the server has no TLS), and what to show.

        Raises OperatorError.
        """
        if self.cert is None and self.cert_key is not None:
            raise OperatorError("--cert-key is the key of a certificate.", hint="--cert FILE names it")
        if usual is None:
            if self.ca is not None or self.cert is not None:
                raise OperatorError(
                    "--ca and --cert are for servers with TLS, and this is none.", hint="its address begins with https:"
                )
            return None
        context = usual if self.ca is None else trusting(self.ca)
        if self.cert is not None:
            _show(context, self.cert, self.cert_key or self.cert)
        return context


def find_key(file: Path | None, environ: Mapping[str, str]) -> Key | None:
    """The key in a file, else that of the environment, else none. Raises OperatorError where it is no key."""
    if file is None:
        found, origin = environ.get(API_KEY, "").strip(), API_KEY
        if not found:
            return None
    else:
        found, origin = _read(file), str(file)
    if not found or not all("!" <= char <= "~" for char in found):
        raise OperatorError(
            f"{origin} holds no key: a key is one word of plain ASCII.", hint="foretell keys create NAME makes one"
        )
    return Key(found, origin)


def refused_hint(key: Key | None) -> str:
    """What to do where the server does not know who calls."""
    if key is None:
        return f"give a key: --key-file FILE, or {API_KEY} in the environment"
    return f"the key came from {key.origin}; foretell keys list, at the server, shows those it knows"


def trusting(ca: Path) -> ssl.SSLContext:
    """Believes the authorities of a file, and no other. Raises OperatorError."""
    try:
        return ssl.create_default_context(cafile=ca)
    except FileNotFoundError:
        raise PathMissing(f"{ca} does not exist.") from None
    except ssl.SSLError as error:
        raise OperatorError(
            f"{ca} holds no certificate that can be read ({error.reason or error}).", hint="--ca takes a PEM file"
        ) from error
    except OSError as error:
        raise OperatorError(f"{ca} cannot be read: {error.strerror}.") from error


def _show(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    for path in (cert, key):
        if not path.exists():
            raise PathMissing(f"{path} does not exist.")
    try:
        context.load_cert_chain(cert, key, password="")  # nobody is asked for one
    except ssl.SSLError as error:
        raise OperatorError(
            f"{cert} and {key} hold no certificate with its key ({error.reason or error}).",
            hint="--cert and --cert-key take PEM files; the key must be the certificate's, and not encrypted",
        ) from error
    except OSError as error:
        raise OperatorError(f"{cert} or {key} cannot be read: {error.strerror}.") from error


def _check_way(key: Key, url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or is_loopback(host):
        return
    raise OperatorError(
        f"The key of {key.origin} was not sent: over plain http, anybody on the way to {host} could read it.",
        hint="use https://, or --insecure-key where you trust all of the network between"
        + (f"; unset {API_KEY} where the server needs none" if key.origin == API_KEY else ""),
    )


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_KEY_BYTES + 1)
    except FileNotFoundError:
        raise PathMissing(f"{file} does not exist.") from None
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_KEY_BYTES:
        raise OperatorError(f"{file} is too large to be a key.", hint="put the key into it, and nothing else")
    return content.decode("utf-8", "replace").strip()
