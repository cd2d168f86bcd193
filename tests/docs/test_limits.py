"""Every command, setting and path on the page about limits is as it stands there."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foretell.cli import main as entry
from foretell.settings import Settings
from tests.docs.blocks import ROOT

PAGE = (ROOT / "docs" / "how-to" / "limits.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_run_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORETELL_STATE", str(tmp_path / "state"))
    lines = re.findall(r"^foretell (.*?)(?: +#.*)?$", PAGE, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        result = CliRunner().invoke(entry.cli, shlex.split(line))
        assert result.exit_code == 0, (line, result.output, result.exception)


def test_the_settings_of_the_page_are_settings(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        (tmp_path / "foretell.toml").write_text(block)
        rates = Settings.load(environ={}, directory=tmp_path).rates
        assert set(rates.model_fields_set) == set(tomllib.loads(block)["rates"])
    variables = dict(re.findall(r'(FORETELL_RATES__\w+)="([^"]+)"', PAGE))
    rates = Settings.load(environ=variables, directory=tmp_path / "none").rates
    assert rates.per_key == ("100/s", "1000000/month")
    assert rates.per_model == {"iris": ("1000/s",), "churn": ("50/s",)}
    assert "GET /api/v1/admin/usage?since=&until=&key=&model=" in PAGE
