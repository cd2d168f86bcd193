"""Writes the table of an issuer's settings into ``docs/how-to/oidc.md``: ``python tools/generate_issuers.py``."""

from __future__ import annotations

from pathlib import Path

from foretell.settings_issuers import Issuer

PAGE = Path(__file__).resolve().parent.parent / "docs" / "how-to" / "oidc.md"
BEGIN, END = "<!-- issuer settings -->\n", "<!-- end -->\n"


def page() -> str:
    """The whole page, its table as the settings are."""
    written = PAGE.read_text(encoding="utf-8")
    before, _, rest = written.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def table() -> str:
    """The table."""
    rows = ["| key | default | what |\n", "|---|---|---|\n"]
    for name, field in Issuer.model_fields.items():
        default = "" if field.default is None or field.is_required() or field.default_factory else field.default
        shown = "" if default in ("", ()) else f"`{str(default).lower() if isinstance(default, bool) else default}`"
        rows.append(f"| `{name}` | {shown} | {field.description} |\n")
    return "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
