"""``foretell keys`` and ``foretell audit``, as people and scripts call them."""

from __future__ import annotations

import json
import os
import pwd
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from foretell.cli import main as entry
from foretell.core.access.api_key import id_of
from foretell.errors import ForetellError, KeyFault
from foretell.security.keys.opening import open_keys

CREATE = (
    "keys create partner-x --scope predict,jobs --model iris --model churn --rate 100/m --quota 1M/month --expires 90d"
)
KEY = re.compile(r"ft_[0-9a-z]{8}_[0-9A-Za-z]{49}")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORETELL_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "state"


def called(line: str) -> Result:
    result = CliRunner().invoke(entry.cli, line.split())
    if result.exception is not None and not isinstance(result.exception, ForetellError | SystemExit):
        raise result.exception
    return result


def said(line: str) -> str:
    result = called(line)
    assert result.exit_code == 0, result.output
    return result.stdout


def documents(line: str) -> list[Any]:
    return [json.loads(text) for text in said(line).splitlines()]


def refused(line: str) -> str:
    error = called(line).exception
    assert isinstance(error, KeyFault)
    return error.detail


def test_a_script_gets_the_key_alone(state: Path) -> None:
    result = called(CREATE)
    assert KEY.fullmatch(result.stdout.strip()) and id_of(result.stdout.strip().encode())
    assert "not shown again" in result.stderr
    with open_keys(state) as store:
        (record,) = store.get("partner-x")
    assert (record.scopes, record.models, record.tenant) == (
        frozenset({"predict", "jobs"}), frozenset({"iris", "churn"}), "partner-x",
    )  # fmt: skip
    assert [str(rate) for rate in record.rates] == ["100/m", "1000000/month"]
    assert record.expires_s == record.created_s + 90 * 86_400
    assert state.stat().st_mode & 0o777 == 0o700
    modes = {path.name: path.stat().st_mode & 0o777 for path in state.iterdir()}
    assert {"foretell.db", "pepper"} <= set(modes) and set(modes.values()) == {0o600}


def test_a_key_may_predict_and_lasts_unless_something_else_is_said() -> None:
    (made,) = documents("keys create x --json")
    assert (made["scopes"], made["models"], made["rates"], made["expires"]) == (["predict"], None, [], None)
    assert KEY.fullmatch(made["key"])


def test_an_admin_is_not_kept_to_some_models() -> None:
    detail = refused("keys create x --scope admin --model iris")
    assert detail == "--model: must be left out where the scopes include admin: it reaches everything."


def test_the_list_shows_what_can_be_used_and_all_on_request() -> None:
    said(CREATE)
    said("keys create gone --expires 0s")
    said("keys create ended")
    assert "revoked ended" in said("keys revoke ended")
    listed = said("keys list")
    assert "partner-x" in listed and "in 90 d" in listed and "2 more ended; --all shows them" in listed
    assert [key["name"] for key in documents("keys list --json")[0]["keys"]] == ["partner-x"]
    everything = {key["name"]: key["state"] for key in documents("keys list --all --json")[0]["keys"]}
    assert everything == {"partner-x": "active", "gone": "expired", "ended": "revoked"}
    assert "expired" in said("keys list --all")


def test_an_empty_list_says_how_to_begin() -> None:
    assert "foretell keys create NAME" in said("keys list")
    assert "Nothing was changed yet" in said("audit")


def test_rotating_shows_a_new_key_and_how_long_the_old_one_lasts() -> None:
    old = said(CREATE).strip()
    result = called("keys rotate partner-x --grace 2h")
    assert result.stdout.strip() != old and "stays valid for 2h" in result.stderr
    shown = said("keys show partner-x")
    assert "replaced by" in shown and "iris" in shown and "never" in shown
    states = [key["state"] for key in documents("keys show partner-x --json")[0]["keys"]]
    assert states == ["active", "replaced"]
    (made,) = documents("keys rotate partner-x --grace 0s --expires never --json")
    assert made["expires"] is None
    assert len(documents("keys revoke partner-x --json")[0]["revoked"]) == 3


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("keys create x --scope predikt", "--scope: 'predikt' must be one of .* Did you mean predict?"),
        (
            "keys create x --rate 5 --quota y --expires z",
            "(?s)--expires: 'z' must.*--rate: '5' must.*--quota: 'y' must",
        ),
        ("keys create x --model ../y", "--model: '../y' cannot name a model"),
        ("keys create .x --tenant /", "(?s)NAME: '.x' must be.*--tenant: '/' must be"),
        ("keys show nobody", "There is no key 'nobody'"),
        ("keys rotate nobody", "There is no key"),
        ("keys rotate nobody --grace never", "--grace must come to an end"),
        ("keys rotate nobody --expires soon", "--expires 'soon' must be a time"),
        ("audit --since soon", "--since 'soon' must be a date or time .* or how long ago"),
    ],
)
def test_what_cannot_be_is_said_with_what_could(line: str, words: str) -> None:
    assert re.search(words, refused(line))


def test_a_name_that_is_near_is_suggested() -> None:
    said(CREATE)
    assert "Did you mean 'partner-x'?" in refused("keys revoke partner-y")
    assert "There is a key 'partner-x' already" in refused(CREATE)


def test_the_trail_names_the_user_and_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    key = said(CREATE).strip()
    said("keys revoke partner-x")
    user = pwd.getpwuid(os.getuid()).pw_name
    trail = said("audit")
    assert f"cli:{user}" in trail and "key.revoke" in trail and "state: active -> revoked" in trail
    assert "scopes: predict, jobs" in trail and key.split("_")[2] not in trail
    entries = documents("audit --since 1h --json")
    assert [entry["action"] for entry in entries] == ["key.revoke", "key.create"]
    assert documents("audit --limit 1 --json") == entries[:1]
    assert documents("audit --since 2999-01-01 --json") == []
    monkeypatch.setattr("os.getuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "alice")
    said("keys create y")
    assert documents("audit --limit 1 --json")[0]["actor"] == "cli:root for alice"
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)
    said("keys revoke y")
    assert documents("audit --limit 1 --json")[0]["actor"] == "cli:4000000"


def test_help_and_a_command_that_is_not_there() -> None:
    assert "foretell keys create partner-x --scope predict" in " ".join(said("keys create --help").split())
    result = called("keys lst")
    assert result.exit_code == 2 and "Did you mean 'list'?" in result.output
