"""The process that scores parts: told by lines of JSON on standard input, telling on standard output.

The first line is the settings, the job and the model; then one line for each part. It ends with its input, so it never
outlives the process that started it by more than the part at hand.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import orjson
import structlog

from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.scorer import Job, Scored, Scorer
from foretell.errors import ArtifactError, ForetellError
from foretell.settings import Settings

ENTRY = "foretell.cli.scoring.worker"


def main() -> None:
    """Scores parts until no more come, or nobody listens any more."""
    try:
        _work()
    except BrokenPipeError:
        os._exit(1)  # the process that asked is gone; to leave in order would only fail to write once more


def _work() -> None:
    # what loading says at info level is for a server's log
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # what a model prints must not stand among the replies
    lines = iter(sys.stdin.buffer)
    try:
        scorer = _begin(orjson.loads(next(lines)))
    except ForetellError as error:
        replies.write(_failure(error))
        return
    replies.write(b'{"ready":true}\n')
    for line in lines:
        asked = orjson.loads(line)
        try:
            scored = scorer.score(Part(**asked["part"]), Path(asked["target"]))
        except ForetellError as error:
            replies.write(_failure(error))
        else:
            replies.write(_told(scored))
    scorer.close()


def _begin(asked: dict[str, Any]) -> Scorer:
    from foretell.cli.scoring.version import load_version

    job = msgspec.convert(asked["job"], Job)
    settings = Settings.from_export(asked["settings"])
    loaded = load_version(settings, asked["model"], asked["version"])
    if loaded.digest != asked["digest"]:
        raise ArtifactError(f"{loaded.found.ref} was changed while it was scored with.")
    return Scorer(job, loaded, settings.limits.body, show_values=settings.errors.show_values)


def _told(scored: Scored) -> bytes:
    return orjson.dumps({"rows": scored.rows, "faulty": scored.faulty, "first_fault": scored.first_fault}) + b"\n"


def _failure(error: ForetellError) -> bytes:
    exit_code = getattr(error, "exit_code", 65)
    return orjson.dumps({"failed": error.detail, "hint": error.hint, "exit_code": exit_code}) + b"\n"


if __name__ == "__main__":
    main()
