"""Writes ``docs/reference/errors.md`` from the tree of errors: ``python tools/generate_errors.py``."""

from __future__ import annotations

import re
from pathlib import Path

import foretell.errors as tree
from foretell.api.problems import MAX_BYTES, MEDIA_TYPE, STATUSES, TYPE_BASE
from foretell.core.faults import TITLES
from foretell.errors import ArtifactError, ForetellError, OperatorError, PackagingError
from foretell.wire.refusals import REFUSALS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "errors.md"

NARROWED = {
    "bad_row": (422, "A row of a stream is wrong and `on_error=fail` was asked for"),
    "client_too_slow": (200, "The caller of a stream did not read its answers; in the log only"),
    "client_disconnected": (499, "The caller went away before the answer; in the log only"),
    "credential_twice": (401, "The request carries several credentials that differ"),
    "credential_invalid": (401, "The credential is unknown, expired, revoked, forged or too long"),
    "model_not_allowed": (403, "The credential is for other models"),
    "scope_missing": (403, "The credential does not have the scope this needs"),
    "credential_unreadable": (401, "The credential is empty"),
    "scheme_unknown": (401, "`Authorization` names another scheme than Bearer"),
    "invalid_grant": (422, "A key was asked for that cannot be; every fault is named"),
    "state_unavailable": (503, "What the server remembers cannot be reached; the log says why"),
    "rate_too_small": (429, "One request alone is more than the limit, so that waiting does not help"),
    "too_many_entries": (400, "More lines of usage than one answer holds: ask for fewer days"),
    "default_model_ambiguous": (400, "Several models and none is the default; the answer lists them"),
    "issuer_unavailable": (503, "The keys of a token's issuer cannot be fetched, and none of them are known"),
    "invalid_parameter": (400, "A query parameter is unknown, repeated, or has a value that cannot be"),
    "invalid_timeout": (400, "`X-Request-Timeout` is no positive number of seconds"),
    "model_gave_no_number": (500, "The model answered NaN or infinity, which JSON cannot say"),
    "model_crashed": (500, "The process of a hosted model died over this input; the log says how"),
    "model_down": (503, "The process of a hosted model keeps dying and is left alone for a moment"),
    "version_conflict": (400, "Path and body name different versions"),
    "internal_error": (500, "Something nobody expected; the log holds the cause under the request's id"),
}
"""Codes of single places, with their status."""

HEAD = f"""\
# Errors

Generated from `src/foretell/errors.py` and `src/foretell/core/faults.py` by `make reference`; a test
holds that it is current.

Every error has one shape, `{MEDIA_TYPE}` (RFC 9457), of {MAX_BYTES} bytes at most:

```json
{{
  "type": "{TYPE_BASE}wrong-feature-count",
  "title": "Wrong number of features",
  "status": 400,
  "detail": "Model iris v1 takes 4 features, got 3.",
  "code": "wrong_feature_count",
  "request_id": "01M7VZ8EB7XSWG60XNFC7DY702",
  "errors": [
    {{"pointer": "/features", "message": "expected 4 values: sepal length (cm), ...", "expected": 4, "got": 3}}
  ]
}}
```

`code` is what a program should look at; it is stable. `errors` names as many faults as fit, each with a JSON pointer
into the body and, in a batch, its row; `errors_total` counts them all. Where a request has several kinds of faults,
`code` is `malformed_request` if any of them makes it unreadable, else `invalid_input`. The offending value is clipped
to 64 characters, and `errors.show_values = false` hides it. `request_id` is in the log line of the request, too.

"""


def page() -> str:
    """The whole page."""
    described = dict(re.findall(r"[├└]── (\w+) +(\S.*)", tree.__doc__ or ""))
    parts = [HEAD, "## Codes by status\n\n| status | code | what |\n|---|---|---|\n"]
    rows = [(status, error.code, described.get(error.__name__) or error.title) for error, status in STATUSES.items()]
    known = {code for _, code, _ in rows}
    rows += [(each.status, each.code, each.detail.rstrip(".")) for each in REFUSALS if each.code not in known]
    rows += [(status, code, what) for code, (status, what) in NARROWED.items()]
    parts += [f"| {status} | `{code}` | {what} |\n" for status, code, what in sorted(set(rows))]
    parts.append(
        "\n## Faults of an input\n\nEach makes the answer 400 where the request cannot be read with it, else 422.\n"
    )
    parts.append("\n| code | title |\n|---|---|\n")
    parts += [f"| `{code}` | {title} |\n" for code, title in sorted(TITLES.items())]
    parts.append("\n## On the command line\n\n| exit code | code | what |\n|---|---|---|\n")
    parts += [
        f"| {error.exit_code} | `{error.code}` | {described[error.__name__]} |\n" for error in of_the_command_line()
    ]
    return "".join(parts)


def of_the_command_line() -> list[type[OperatorError | ArtifactError | PackagingError]]:
    """The errors that end a command, in the order of the tree."""
    named = (getattr(tree, name) for name in tree.__all__)
    kinds = [kind for kind in named if isinstance(kind, type) and issubclass(kind, ForetellError)]
    ending = [kind for kind in kinds if issubclass(kind, OperatorError | ArtifactError | PackagingError)]
    roots = {OperatorError, ArtifactError, PackagingError}
    order = (tree.__doc__ or "").index
    return sorted((kind for kind in ending if kind not in roots), key=lambda kind: order(kind.__name__))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
