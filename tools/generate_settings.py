"""Writes ``docs/reference/settings.md`` from the settings tree: ``python tools/generate_settings.py``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from foretell.settings import SECRETS, leaves
from foretell.settings_reading import FALLBACKS, variable

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"

HEAD = """\
# Settings

Generated from `src/foretell/settings.py` by `make reference`; a test holds that it is current.

What is said in several places is taken from the first of:

1. the command line (`foretell serve --port 9000`),
2. the environment (`FORETELL_PORT=9000`),
3. `.env` in the working directory (the same names),
4. `foretell.toml` in the working directory, or the file that `FORETELL_CONFIG` names,
5. the default.

A dot in a key is a table in `foretell.toml` and two underscores in a variable. A variable that is set but empty counts
as not set. A relative path in `foretell.toml` is meant from the folder of the file. Unknown keys and values out of
range stop the start, and all of them are listed at once, with the place each stands in. Exit code: 78.

```toml
models = "models"
port = 9000

[limits]
timeout_s = 5.0

[log]
format = "json"
```

`MODEL_PATH`, `HOST` and `PORT` are read where neither the environment nor `.env` has the name with `FORETELL_`.
The variables that Kubernetes sets for a Service called `foretell` are passed over.

A secret, so marked below, may stand in a file of its own: `FORETELL_CACHE__SECRET_FILE=/run/secrets/cache`, or
`cache.secret_file` in `foretell.toml`. The file is UTF-8 text of at most 64 KiB, the line's end behind it does not
count, and only the user that serves should be able to read it: [secrets](../how-to/secrets.md).

`FORETELL_DEBUG=1` shows the traceback of an error of the command line.
`FORETELL_API_KEY` is the key that `foretell score --server` sends; it is no setting of a server.

| key | variable | default | what |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    fallbacks = {key: name for name, key in FALLBACKS.items()}
    rows = []
    for key, field in leaves():
        names = f"`{variable(key)}`" + (f", `{fallbacks[key]}`" if key in fallbacks else "")
        what = f"{field.description}{_bounds(field)}{' **Secret.**' if key in SECRETS else ''}"
        rows.append(f"| `{key}` | {names} | {_default(field.default)} | {what} |\n")
    return HEAD + "".join(rows)


def _default(value: Any) -> str:
    if value is None or value == ():
        return ""
    if isinstance(value, tuple):
        return f"`{','.join(value)}`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _bounds(field: Any) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    found = [
        f"{words[name]} {value:,}"
        for constraint in field.metadata
        for name in words
        if (value := getattr(constraint, name, None)) is not None
    ]
    choices = re.findall(r"'([\w-]+)'", str(field.annotation)) if "Literal" in str(field.annotation) else []
    if choices:
        found.append("one of " + ", ".join(f"`{choice}`" for choice in choices))
    text = ", ".join(found)
    return f" {text[:1].upper()}{text[1:]}." if text and "tuple" not in str(field.annotation) else ""


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
