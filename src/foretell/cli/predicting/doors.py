"""Where answers come from: a running server, or the model's folder through the very same plane."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from foretell.cli.calling import Key, refused_hint
from foretell.cli.predicting.rows import Slice
from foretell.errors import BodyTooLarge, MalformedRequest, OperatorError, RequestError
from foretell.settings import Settings

TIMEOUT_S = 60.0
LOCAL_TIMEOUT_S = 300.0
"""Nobody else waits for a model that is loaded here."""


@dataclass(frozen=True)
class Wanted:
    """Which model and version, what beside the prediction, and the answer's media type."""

    model: str | None
    version: str | None = None
    top_k: int | None = None
    probabilities: bool = False
    accept: str = "text/csv"


class Door(Protocol):
    """Answers one slice."""

    def predict(self, rows: Slice, wanted: Wanted) -> bytes:
        """The answer to a batch request of these rows, in ``wanted.accept``.

        Raises BodyTooLarge where there are too many rows for one request, else RequestError with every fault named,
        or OperatorError where nobody answers.
        """
        ...


@contextmanager
def remote(url: str, trust: ssl.SSLContext | None = None, key: Key | None = None) -> Iterator[Door]:
    """A running server; ``url`` includes the prefix, ``trust`` says whose certificates are believed."""
    import httpx2

    verify = True if trust is None else trust
    with httpx2.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, verify=verify) as client:
        yield _Remote(client, url.rstrip("/"), key)


class _Remote:
    def __init__(self, client: Any, url: str, key: Key | None) -> None:
        self._client = client
        self._url = url
        self._key = key

    def predict(self, rows: Slice, wanted: Wanted) -> bytes:
        import httpx2

        key = {} if self._key is None else self._key.headers
        path = "" if wanted.model is None else f"/models/{wanted.model}"
        path += "" if wanted.version is None else f"/versions/{wanted.version}"
        parameters: dict[str, Any] = {}
        if wanted.top_k is not None:
            parameters["top_k"] = wanted.top_k
        if wanted.probabilities:
            parameters["probabilities"] = "true"
        try:
            answer = self._client.post(
                f"{self._url}{path}/predict/batch",
                params=parameters,
                content=rows.body(),
                headers={"content-type": rows.media_type, "accept": wanted.accept, **key},
            )
        except httpx2.TransportError as error:
            raise OperatorError(
                f"{self._url} does not answer: {error or type(error).__name__}.",
                hint="start it with `foretell serve`, name another with --url, or predict without one by --local",
            ) from error
        if answer.status_code == 200:
            return bytes(answer.content)
        raise _refusal(answer.status_code, answer.content, rows, refused_hint(self._key))


def _refusal(status: int, body: bytes, rows: Slice, unknown_hint: str) -> RequestError:
    """What an answer that is no success comes to; ``unknown_hint`` is for a caller whom the server does not know."""
    try:
        problem = json.loads(body)
        detail, code, errors = problem["detail"], problem.get("code"), problem.get("errors", [])
    except (ValueError, KeyError, TypeError, AttributeError):
        return RequestError(f"The server answered {status}, and not in Foretell's way. Is it Foretell?")
    if status == 413 or code == "too_many_rows":
        return BodyTooLarge(detail)
    text = _told(detail, errors, problem.get("errors_total", len(errors)), rows)
    return RequestError(text, hint=unknown_hint if status == 401 else problem.get("hint"))


def _told(detail: str, errors: Sequence[Mapping[str, Any]], total: int, rows: Slice) -> str:
    """The detail and each fault on a line of its own, by row of the file."""
    lines = [detail]
    for error in errors:
        row = error.get("row")
        place = f"row {rows.start + row + 1}: " if isinstance(row, int) else ""
        suggestion = f"; did you mean {error['suggestion']}?" if error.get("suggestion") else ""
        lines.append(f"  - {place}{error.get('message', '')}{suggestion}")
    if total > len(errors):
        lines.append(f"  and {total - len(errors):,} more")
    return "\n".join(lines)


@contextmanager
def local(settings: Settings) -> Iterator[Door]:
    """The models of the settings, loaded here. What the server would log at warning or above goes to standard error."""
    from foretell.bootstrap import open_services

    quiet = settings.log.model_copy(update={"path": Path(os.devnull), "level": "error"})
    with asyncio.Runner() as runner:
        opening = open_services(settings.model_copy(update={"log": quiet, "lane": False, "workers": 1}))
        services = runner.run(opening.__aenter__())
        try:
            yield _Local(runner, services)
        finally:
            runner.run(opening.__aexit__(None, None, None))


class _Local:
    def __init__(self, runner: asyncio.Runner, services: Any) -> None:
        self._runner = runner
        self._services = services

    def predict(self, rows: Slice, wanted: Wanted) -> bytes:
        from foretell.api.native.columns import Options
        from foretell.api.native.translate import batch_json, rows_csv
        from foretell.inference.service import Ask

        media_type, _, parameter = rows.media_type.partition("; ")
        name, _, value = parameter.partition("=")
        ask = Ask(
            model=wanted.model,
            version=wanted.version,
            body=rows.body(),
            codec=next(codec for codec in self._services.codecs if codec.media_type == media_type),
            many=True,
            deadline_s=time.monotonic() + LOCAL_TIMEOUT_S,
            parameters={name: value} if name else {},
        )
        try:
            answer = self._runner.run(self._services.service.predict(ask))
        except MalformedRequest as error:
            if error.instance_code == "too_many_rows":
                raise BodyTooLarge(error.detail) from error
            raise _explained(error, rows) from error
        except RequestError as error:
            raise _explained(error, rows) from error
        options = Options(wanted.top_k, wanted.probabilities)
        ref = answer.servable.ref
        if wanted.accept == "text/csv":
            return rows_csv(answer.outputs, options)
        return batch_json(answer.outputs, ref, prediction_id="", total_ms=0.0, options=options)


def _explained(error: RequestError, rows: Slice) -> RequestError:
    errors = [{"row": f.row, "message": f.message, "suggestion": f.suggestion} for f in error.faults]
    cause = f"\n  {type(error.__cause__).__name__}: {error.__cause__}" if error.__cause__ is not None else ""
    return RequestError(_told(error.detail, errors, error.faults_total, rows) + cause, hint=error.hint)
