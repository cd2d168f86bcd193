"""The TLS context of a listening socket, which follows its files: whoever connects next gets what they hold by then."""

from __future__ import annotations

import ssl
import threading
from typing import Any, Self

import structlog

from foretell.errors import CertificateUnusable
from foretell.security.tls.files import Leaf, Stamp, TlsFiles, examine
from foretell.security.tls.handshakes import Handshakes, TellingContext

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. All that TLS 1.3 has are such."""
HTTP_1_1 = "http/1.1"
WARN_S = 7 * 86_400

_log = structlog.get_logger("foretell.tls")


def open_context(files: TlsFiles, handshakes: Handshakes | None = None) -> tuple[ssl.SSLContext, Leaf]:
    """A context made of what the files hold now. ``handshakes`` hears of those that fail.

    Raises CertificateUnusable.
    """
    leaf = examine(files)
    context = TellingContext(ssl.PROTOCOL_TLS_SERVER)
    context.handshakes = handshakes or Handshakes()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols([HTTP_1_1])
    try:
        # a password that is never right: OpenSSL would ask for one on the terminal
        context.load_cert_chain(files.cert, files.key, password=lambda: "")
        if files.client_ca is not None:
            context.load_verify_locations(files.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED if files.required else ssl.CERT_OPTIONAL
            # a resumed session is not asked for its certificate again; those of TLS 1.2: handshakes.py
            context.num_tickets = 0
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise CertificateUnusable(
            f"tls.cert: OpenSSL does not take {files.cert} and its key: {reason}.",
            hint="keys of at least 2048 bits (RSA) or 224 (elliptic curves), signed with SHA-256 or better",
        ) from error
    return context, leaf


class FollowingContext(ssl.SSLContext):
    """Hands every new connection to the newest context that its files have made.

    A server keeps the context it was given for as long as it listens. To load another certificate into that one is no
    single step, and cannot be undone where the key turns out not to fit; so each change makes a context of its own, and
    one assignment puts it in place. What is connected stays with the one it began with.
    """

    def __new__(cls, files: TlsFiles) -> Self:  # noqa: ARG004  # ssl's own takes the protocol
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._lock = threading.Lock()
        self._stamps = files.stamps()
        self._issuers = _issuers(files)
        self.handshakes = Handshakes()
        self._current, self._leaf = open_context(files, self.handshakes)
        self._faulty: tuple[Stamp, ...] | None = None
        self._told = False
        self._warned = False

    @property
    def leaf(self) -> Leaf:
        """The certificate that is in use."""
        return self._leaf

    @property
    def files(self) -> TlsFiles:
        """Where it comes from."""
        return self._files

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return self._current.wrap_bio(*args, **kwargs)

    def look(self, *, asked: bool = False) -> bool:
        """Takes up what the files hold, where they changed or somebody asked for it. For any thread.

        Returns whether callers' certificates are judged by other issuers now. What cannot be used is told once, and
        what was in use stays; a file that is being written, or a key whose certificate is still to come, is not told
        of unless it stays so until the next look.
        """
        with self._lock:
            self._warn_of_end()
            stamps = self._files.stamps()
            if not asked and stamps == self._stamps:
                self._faulty = None
                return False
            try:
                return self._take_up(stamps)
            except CertificateUnusable as error:
                self._keep(stamps, error, asked=asked)
                return False

    def _take_up(self, stamps: tuple[Stamp, ...]) -> bool:
        context, leaf = open_context(self._files, self.handshakes)
        issuers = _issuers(self._files)
        if self._files.stamps() != stamps:
            return False  # changed meanwhile: the next look sees it whole
        stricter = issuers != self._issuers
        self._current, self._leaf = context, leaf
        self._stamps, self._issuers = stamps, issuers
        self._faulty, self._told, self._warned = None, False, False
        _log.info(
            "tls_certificate_loaded",
            names=", ".join(leaf.names) or None,
            expires=leaf.expires.isoformat(),
            fingerprint=leaf.fingerprint,
            client_issuers_changed=stricter or None,
        )
        return stricter

    def _keep(self, stamps: tuple[Stamp, ...], error: CertificateUnusable, *, asked: bool) -> None:
        if stamps != self._faulty:
            self._faulty, self._told = stamps, False
            if not asked:
                return
        if not self._told or asked:
            self._told = True
            _log.error("tls_certificate_kept", detail=error.detail, hint=error.hint, still=self._leaf.fingerprint)

    def _warn_of_end(self) -> None:
        if not self._warned and self._leaf.remaining_s < WARN_S:
            self._warned = True
            _log.warning(
                "tls_certificate_expires_soon", expires=self._leaf.expires.isoformat(), file=str(self._files.cert)
            )


def _issuers(files: TlsFiles) -> bytes | None:
    try:
        return None if files.client_ca is None else files.client_ca.read_bytes()
    except OSError:
        return None  # said by open_context, which needs it
