"""Where predictions come from, as it is said on the command line: a model's place here, a server's address there."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.parse import urlsplit

from foretell.cli.serve import check_path
from foretell.errors import OperatorError
from foretell.security.tls.self_signed import made_in
from foretell.settings import Settings


def local_place(settings: Settings, model: str) -> tuple[Settings, str | None]:
    """The settings for a model's name, file or folder, and its name where that chooses among several.

    Raises OperatorError where no models are named, PathMissing where they are not there.
    """
    path = Path(model)
    if path.exists() and (settings.models is None or len(path.parts) > 1 or path.is_file()):
        return settings.model_copy(update={"models": path, "default_model": None}), None
    check_path(settings)
    # of a repository only this model has to be loaded
    folder = (settings.models or Path()) / model
    if folder.is_dir() and not (folder / "manifest.toml").exists():
        return settings.model_copy(update={"models": folder, "default_model": None}), model
    return settings, model


def trust(settings: Settings, url: str) -> ssl.SSLContext | None:
    """Whom a caller of ``url`` believes: what this machine does, or ``SSL_CERT_FILE``, and the self-signed certificate
    that these settings serve with. None where there is nobody to believe."""
    if not url.startswith("https:"):
        return None
    context = ssl.create_default_context()
    made = made_in(settings.state.place).cert
    if settings.tls.self_signed and made.exists():
        context.load_verify_locations(made)
    return context


def server_url(settings: Settings, url: str | None) -> str:
    """The address of a server with its prefix; by default that of the settings. Raises OperatorError."""
    if url is None:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  # compared
        scheme = "https" if settings.tls.enabled else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}{settings.prefix}"
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, a port that is no number
        usable = False
    if not usable:
        raise OperatorError(f"'{url}' is no address of a server.", hint="http://127.0.0.1:8000, for instance")
    if "@" in parts.netloc:
        raise OperatorError(
            "The address of a server holds no name, password or key.", hint="leave out all before the @"
        )
    base = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return base if parts.path.strip("/") else f"{base}{settings.prefix}"
