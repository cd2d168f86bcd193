"""Every command on the page about keys runs as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foretell.api.admin.router import admin_paths
from foretell.cli import main as entry
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "how-to" / "keys.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_STATE", str(tmp_path / "state"))
    lines = re.findall(r"^foretell ((?:keys|audit) .*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert len(lines) == 6
    for line in lines:
        result = CliRunner().invoke(entry.cli, shlex.split(line))
        assert result.exit_code == 0, (line, result.output, result.exception)


def test_the_page_names_every_path_of_the_admin_api() -> None:
    paths = [path for path in admin_paths("/api/v1") if not path.path.endswith(("/audit", "/usage"))]
    assert not [path.path for path in paths if f"| {path.method} `{path.path}` |" not in PAGE]
    assert "| GET `/api/v1/admin/audit?" in PAGE
