"""The server's certificate as the settings name it, and what the process that listens knows of its own security."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from foretell.cli.report import printable
from foretell.core.weaknesses import Weakness
from foretell.security.floors import outdated
from foretell.security.posture import Facts, posture, refuse
from foretell.security.tls.context import FollowingContext, open_context
from foretell.security.tls.files import Leaf, TlsFiles
from foretell.security.tls.self_signed import made_in, make
from foretell.settings import Settings


def tls_files(settings: Settings) -> TlsFiles | None:
    """Where the pieces of TLS stand; None where the server speaks none."""
    tls = settings.tls
    if tls.self_signed:
        made = made_in(settings.state.place)
        cert, key = made.cert, made.key
    elif tls.cert is not None:
        cert, key = tls.cert, tls.key
    else:
        return None
    return TlsFiles(cert, key, tls.client_ca, required=tls.client_certificate == "required")


def following(settings: Settings) -> FollowingContext | None:
    """The context to listen with; None without TLS. Raises CertificateUnusable."""
    files = tls_files(settings)
    return None if files is None else FollowingContext(files)


def checked(settings: Settings) -> Leaf | None:
    """The certificate to be served, made where it is to be self-signed, before anything is loaded.

    Raises CertificateUnusable.
    """
    if settings.tls.self_signed:
        make(settings.state.place, settings.host)
    files = tls_files(settings)
    if files is None:
        return None
    _, leaf = open_context(files)
    if settings.tls.self_signed:
        sys.stderr.write(f"self-signed certificate {files.cert}\n  SHA-256 {leaf.fingerprint}\n")
    return leaf


def facts_of(settings: Settings, bound: socket.socket, leaf: Leaf | None) -> Facts:
    """What is known of a server that listens on ``bound``."""
    address, port = bound.getsockname()[:2]
    files = tls_files(settings)
    root = os.geteuid() == 0
    return Facts(
        address=address,
        port=port,
        root=root,
        key_readable=files is not None and _everybody_reads(files.key or files.cert),
        secrets_readable=tuple(settings.readable_secrets()),
        models_writable=not root and settings.models is not None and os.access(settings.models, os.W_OK),
        leaf=leaf,
        outdated=outdated(),
    )


def stand(settings: Settings, bound: socket.socket, leaf: Leaf | None) -> Sequence[Weakness]:
    """Tells each weakened default, one line to standard error. Raises RiskNotAccepted, before it tells anything."""
    facts = facts_of(settings, bound, leaf)
    weaknesses = posture(settings, facts)
    refuse(weaknesses, settings, facts)
    for weakness in weaknesses:
        sys.stderr.write(f"{printable(str(weakness))}\n")
    return weaknesses


def _everybody_reads(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IROTH)
    except OSError:  # it is being replaced
        return False
