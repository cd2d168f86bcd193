"""``foretell serve``: models over HTTP."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foretell.cli.serving.hosting import meeting_place, supervising
from foretell.errors import OperatorError, PathMissing
from foretell.security import core_dumps
from foretell.settings import Settings

if TYPE_CHECKING:
    from foretell.telemetry.logging import Log


def serve(
    path: Annotated[Path | None, typer.Argument(help="A model file, the folder of one model, or a repository.")] = None,
    *,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes any free one. Default: 8000.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that share the port. Default: 1.")] = None,
    default_model: Annotated[str | None, typer.Option(help="The model that answers /predict.")] = None,
    prefix: Annotated[str | None, typer.Option(help="Path the API stands under. Default: /api/v1.")] = None,
    ready: Annotated[str | None, typer.Option(help="Ready when: any, all, or names with commas. Default: any.")] = None,
    reload: Annotated[bool | None, typer.Option("--reload", help="Restart when models or Python files change.")] = None,
    lane: Annotated[
        bool | None, typer.Option(help="The shortcut below ASGI for plain predictions. Default: on.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Native threads of one model call. Default: 1.")] = None,
    mode: Annotated[
        str | None, typer.Option(help="How models run: auto, direct, threaded, hosted. Default: auto.")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds a request may take. Default: 30.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM file with the certificate: HTTPS. Read anew.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file with its private key.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(help="PEM file with the issuers of callers' certificates.")
    ] = None,
    tls_self_signed: Annotated[
        bool | None, typer.Option("--tls-self-signed", help="HTTPS with a certificate made here; for development.")
    ] = None,
    accept_risk: Annotated[
        list[str] | None, typer.Option(help="Start although this code would refuse, such as SW03; may be repeated.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, json or console. Default: auto.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error. Default: info.")] = None,
    log_path: Annotated[Path | None, typer.Option(help="File to log to. Default: standard output.")] = None,
) -> None:
    """Serve models over HTTP.

    PATH is a model file, the folder of one model, or a repository of models. Every option can also stand in
    foretell.toml, .env or the environment; docs/reference/settings.md describes them all.
    """
    options = {
        "models": path,
        "host": host,
        "port": port,
        "workers": workers,
        "default_model": default_model,
        "prefix": prefix,
        "ready": ready,
        "reload": reload,
        "lane": lane,
        "execution.threads": threads,
        "execution.mode": mode,
        "limits.timeout_s": timeout,
        "tls.cert": tls_cert,
        "tls.key": tls_key,
        "tls.client_ca": tls_client_ca,
        "tls.self_signed": tls_self_signed,
        "accept_risk": accept_risk or None,
        "log.format": log_format,
        "log.level": log_level,
        "log.path": log_path,
    }
    settings = Settings.load(options)
    check_path(settings)
    if not settings.core_dumps:
        core_dumps.forbid()
    # nothing has been looked for yet, so a rescan that is asked for now is none that would be missed
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if settings.reload:
        _serve_reloading(settings, options)
        return
    with ExitStack() as place:
        with _log(settings):  # until the server opens its own
            settings = place.enter_context(meeting_place(settings))
        if settings.workers > 1:
            _serve_workers(settings)
        else:
            _serve_here(settings)


def check_path(settings: Settings) -> None:
    """Raises OperatorError where no models are named, PathMissing where they are not there."""
    models = settings.models
    if models is None:
        raise OperatorError(
            "No models to serve: name a model file, the folder of one model, or a repository.",
            hint="foretell serve PATH, or set FORETELL_MODELS",
        )
    if not models.exists():
        source = settings.source_of("models")
        said = "" if source == "--models" else f" (from {source})"
        raise PathMissing(f"{models}{said} does not exist.{_near(models)}")


def _near(path: Path) -> str:
    from foretell.core.identity import closest

    if not path.parent.is_dir():
        return ""
    found = closest(path.name, [entry.name for entry in path.parent.iterdir()])
    return f" Did you mean {path.parent / found}?" if found else ""


def _serve_here(settings: Settings) -> None:
    from foretell.cli.serving import environment
    from foretell.cli.serving.address import bind
    from foretell.cli.serving.banner import announce
    from foretell.cli.serving.certificate import checked, stand

    environment.apply(settings)
    leaf = checked(settings)
    bound = bind(settings)
    with bound:
        stand(settings, bound, leaf)
        from foretell.cli.serving.server import Server

        Server(settings, partial(announce, settings, bound)).serve_on(bound)


def _serve_workers(settings: Settings) -> None:
    from foretell.cli.serving.address import bind_each
    from foretell.cli.serving.certificate import checked, stand
    from foretell.cli.serving.supervisor import Supervisor

    leaf = checked(settings)
    with bind_each(settings, settings.workers) as sockets:
        stand(settings, sockets[0], leaf)
        with _log(settings), supervising(settings):
            Supervisor(settings, sockets).run()


def _log(settings: Settings) -> AbstractContextManager[Log]:
    from foretell.telemetry.logging import open_log

    return closing(open_log(shared=True, **settings.log.model_dump(exclude={"values"})))


def _serve_reloading(settings: Settings, options: Mapping[str, Any]) -> None:
    from foretell.cli.serving.address import bind
    from foretell.cli.serving.certificate import checked, stand
    from foretell.cli.serving.reloader import Reloader
    from foretell.cli.serving.watch import Watch

    watch = Watch(settings.models or Path(), Path.cwd())
    leaf = checked(settings)
    with bind(settings) as bound:
        stand(settings, bound, leaf)

        def reread() -> Settings:
            again = Settings.load(options)
            stand(again, bound, checked(again))
            return again

        Reloader(settings, [bound], reread=reread, watch=watch).run()
