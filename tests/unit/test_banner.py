"""What is said once the server answers: the same facts to people and to machines, and a line that works."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from foretell.cli.serving.banner import Banner
from foretell.core.identity import Ref
from foretell.lifecycle.catalog import Catalog, Entry, Reason
from foretell.lifecycle.states import State
from foretell.settings import Docs, Log, Settings
from tests.versions import servable_of


def ready(model: str, version: str = "v1", example: Any = None) -> Entry:
    servable = servable_of(model, version)
    servable.example = example
    return Entry(Ref(model, version), State.READY, None, servable)


FAILED = Entry(Ref("bad", "v1"), State.FAILED, Reason("load_failed", "it is [b]broken[/b]"))


def banner(*entries: Entry, default: str | None = None, lane: bool = True, **settings: Any) -> Banner:
    return Banner(Settings(**settings), Catalog.of(entries, default), "http://127.0.0.1:8000", lane)


def drawn(shown: Banner, capsys: pytest.CaptureFixture[str]) -> str:
    shown.draw()
    return capsys.readouterr().out


def test_people_see_models_addresses_and_a_line_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn(banner(ready("iris", example={"it's": 1.5})), capsys)
    assert "serves on http://127.0.0.1:8000" in text
    assert "docs  http://127.0.0.1:8000/docs" in text
    assert any(line.split()[:3] == ["iris", "v1", "ready"] for line in text.splitlines())
    (line,) = [line.strip() for line in text.splitlines() if "curl" in line]
    words = shlex.split(line)
    assert words[:2] == ["curl", "http://127.0.0.1:8000/api/v1/predict"]
    assert json.loads(words[-1]) == {"features": {"it's": 1.5}}


def test_what_failed_is_shown_with_its_reason_and_the_command_that_says_more(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad" / "v1").mkdir(parents=True)
    text = drawn(banner(ready("iris"), FAILED, models=tmp_path), capsys)
    assert "bad v1: it is [b]broken[/b]" in text
    assert f"foretell check {tmp_path / 'bad' / 'v1'}" in text


def test_a_server_without_models_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    text = drawn(banner(), capsys)
    assert "no models yet" in text
    assert "curl" not in text


@pytest.mark.parametrize(("lane", "setting", "told"), [(False, True, True), (False, False, False), (True, True, False)])
def test_a_lane_that_is_off_against_the_settings_is_told(
    capsys: pytest.CaptureFixture[str], lane: bool, setting: bool, told: bool
) -> None:
    shown = replace(banner(lane=lane), settings=Settings(lane=setting))
    assert ("lane is off" in drawn(shown, capsys)) is told


@pytest.mark.parametrize(
    ("entries", "default", "path"),
    [
        ([ready("iris", example=[1])], None, "/predict"),
        ([ready("a", example=[1]), ready("b", example=[2])], "b", "/predict"),
        ([ready("a", example=[1]), ready("b", example=[2])], None, "/models/a/predict"),
        ([FAILED, ready("b", example=[2])], "bad", "/models/b/predict"),
        ([ready("a")], None, None),
        ([FAILED], None, None),
    ],
)
def test_the_line_to_try_is_for_the_default_model_or_the_first_that_answers(
    entries: list[Entry], default: str | None, path: str | None
) -> None:
    line = banner(*entries, default=default).curl()
    assert (None if line is None else shlex.split(line)[1]) == (path and f"http://127.0.0.1:8000/api/v1{path}")


def test_machines_get_one_event_with_the_same_facts(capsys: pytest.CaptureFixture[str]) -> None:
    with capture_logs() as logs:
        banner(ready("iris"), ready("iris", "v2"), FAILED, docs=Docs(enabled=False)).show()
    assert logs == [
        {
            "event": "serving",
            "log_level": "info",
            "url": "http://127.0.0.1:8000",
            "docs": None,
            "models": "iris v1, iris v2",
            "failed": "bad v1",
            "default_model": "iris",
            "workers": 1,
            "lane": True,
            "admin_key": None,
        }
    ]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("format", "drawn"), [("auto", True), ("console", True), ("json", False)])
def test_a_terminal_gets_the_table_unless_lines_are_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], format: Any, drawn: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with capture_logs() as logs:
        banner(log=Log(format=format)).show()
    assert ("http://127.0.0.1:8000/docs" in capsys.readouterr().out) is drawn
    assert bool(logs) is not drawn


@pytest.mark.parametrize(
    ("there", "shown"), [("bad/v1", "bad/v1"), ("v1", "v1"), ("bad", "bad"), ("other", ""), (None, None)]
)
def test_the_path_of_a_version_is_the_nearest_that_exists(tmp_path: Path, there: str | None, shown: str | None) -> None:
    if there is None:
        assert banner().path_of(FAILED.ref) == ""
        return
    (tmp_path / there).mkdir(parents=True)
    assert banner(models=tmp_path).path_of(FAILED.ref) == str(tmp_path / str(shown))


def test_it_says_where_the_admins_key_lies(capsys: pytest.CaptureFixture[str]) -> None:
    said = replace(banner(ready("iris")), admin_file=Path("/srv/state/admin.key"))
    assert "the admin's key is in  /srv/state/admin.key" in drawn(said, capsys)
    with capture_logs() as logs:
        said.log()
    assert logs[0]["admin_key"] == "/srv/state/admin.key"
