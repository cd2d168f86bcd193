"""Secrets among the settings: from files of their own, shown nowhere, handed to our processes by no environment."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from foretell.cli.serving.environment import serving_environment
from foretell.errors import SettingsError
from foretell.settings import SECRETS, Cache, Settings, State, leaves
from foretell.settings_reading import variable, without_settings
from foretell.settings_secrets import MOST_BYTES, handing_over, take_over

HUSH = "hush-hush-hush-hush-hush-hush-hush-hush"


def load(folder: Path, environ: dict[str, str] | None = None) -> Settings:
    return Settings.load(environ=environ or {}, directory=folder)


def secret(folder: Path, content: str | bytes = HUSH + "\n", name: str = "secret") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(0o600)
    return path


# -- where they are read ---------------------------------------------------------------------------------------------


def test_what_holds_a_password_or_a_key_is_marked_as_secret() -> None:
    assert {"cache.secret", "cache.redis_url", "rates.redis_url", "state.url", "state.pepper"} <= SECRETS
    sounds = re.compile(r"secret|password|pepper|_url$|\.url$")
    assert {key for key, _ in leaves() if sounds.search(key)} <= SECRETS


@pytest.mark.parametrize("key", sorted(SECRETS & {"cache.secret", "state.pepper"}))
def test_a_secret_is_read_from_the_file_that_its_variable_names(tmp_path: Path, key: str) -> None:
    settings = load(tmp_path, {variable(key) + "_FILE": str(secret(tmp_path))})
    group, _, name = key.partition(".")
    assert getattr(getattr(settings, group), name) == HUSH
    assert settings.source_of(key) == variable(key) + "_FILE"


@pytest.mark.parametrize("content", [HUSH, HUSH + "\n", HUSH + "\r\n"])
def test_one_end_of_line_behind_a_secret_is_none_of_it(tmp_path: Path, content: str) -> None:
    assert load(tmp_path, {"FORETELL_CACHE__SECRET_FILE": str(secret(tmp_path, content))}).cache.secret == HUSH
    spaced = secret(tmp_path, f" {HUSH} \n\n")
    assert load(tmp_path, {"FORETELL_CACHE__SECRET_FILE": str(spaced)}).cache.secret == f" {HUSH} \n"


def test_the_path_of_a_secret_in_foretell_toml_is_meant_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config"
    config.mkdir()
    secret(config)
    (config / "foretell.toml").write_text('[cache]\nsecret_file = "secret"\n', encoding="utf-8")
    monkeypatch.chdir("/")
    assert load(tmp_path, {"FORETELL_CONFIG": "config/foretell.toml"}).cache.secret == HUSH


def test_a_higher_source_wins_whichever_way_it_says_a_secret(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text('[cache]\nsecret = "of the file, long enough"\n', encoding="utf-8")
    assert load(tmp_path, {"FORETELL_CACHE__SECRET_FILE": str(secret(tmp_path))}).cache.secret == HUSH
    (tmp_path / "foretell.toml").write_text('[cache]\nsecret_file = "secret"\n', encoding="utf-8")
    assert load(tmp_path, {"FORETELL_CACHE__SECRET": "of the variable, long"}).cache.secret == "of the variable, long"


@pytest.mark.parametrize("place", ["environment", ".env", "foretell.toml"])
def test_a_secret_and_its_file_in_one_place_are_refused(tmp_path: Path, place: str) -> None:
    secret(tmp_path)
    given = {"FORETELL_CACHE__SECRET": HUSH, "FORETELL_CACHE__SECRET_FILE": str(tmp_path / "secret")}
    if place == ".env":
        (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in given.items()), encoding="utf-8")
    elif place == "foretell.toml":
        text = f'[cache]\nsecret = "{HUSH}"\nsecret_file = "secret"\n'
        (tmp_path / "foretell.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=r"cache\.secret and cache\.secret_file are both set") as refused:
        load(tmp_path, given if place == "environment" else {})
    assert HUSH not in str(refused.value)


def test_what_is_no_secret_has_no_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="FORETELL_HOST_FILE is not a setting"):
        load(tmp_path, {"FORETELL_HOST_FILE": str(secret(tmp_path, "127.0.0.1"))})


def test_a_file_that_cannot_hold_a_secret_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    cases = {
        tmp_path / "missing": "cannot be read: No such file",
        tmp_path: "not a regular file",
        tmp_path / "pipe": "not a regular file",
        secret(tmp_path, "", "empty"): "is empty",
        secret(tmp_path, "\n", "line"): "is empty",
        secret(tmp_path, b"\xff" * 40, "bytes"): "is not UTF-8",
        secret(tmp_path, "x" * (MOST_BYTES + 1), "large"): "larger than 64 KiB",
        Path("with\0null"): "cannot be read: embedded null",
        secret(tmp_path, "short", "short"): "'(hidden)' String should have at least 16",
    }
    for path, said in cases.items():
        with pytest.raises(SettingsError) as refused:
            load(tmp_path, {"FORETELL_CACHE__SECRET_FILE": str(path)})
        assert said in refused.value.detail, path
        assert "FORETELL_CACHE__SECRET_FILE" in refused.value.detail


def test_a_path_in_foretell_toml_that_is_no_text_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "foretell.toml").write_text("[cache]\nsecret_file = 3\n", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"cache\.secret_file: it must be the path of a file"):
        load(tmp_path)


def test_a_secret_put_where_its_path_belongs_is_not_shown(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refused:
        load(tmp_path, {"FORETELL_CACHE__SECRET_FILE": HUSH})
    assert HUSH not in str(refused.value)


# -- where they are shown: nowhere -----------------------------------------------------------------------------------


def test_no_repr_and_no_error_shows_a_secret() -> None:
    url = f"postgresql://me:{HUSH}@host/x"
    settings = Settings(cache=Cache(secret=HUSH, redis_url=f"redis://:{HUSH}@host"), state=State(url=url, pepper=HUSH))
    assert HUSH not in repr(settings) + str(settings) + f"{settings.cache} {settings.state}"
    for damaged in ({"cache": {"secret": [HUSH]}}, {"cache": HUSH}, {"state": {"url": HUSH}}, {HUSH: 1}):
        with pytest.raises(ValidationError) as refused:
            Settings.model_validate(damaged)
        assert HUSH not in str(refused.value) or HUSH in damaged  # the name of a key is no value
    with pytest.raises(ValidationError) as damage:
        Settings.from_export(settings.export().replace('"secret": ', '"secrets": '))
    assert HUSH not in str(damage.value)


def test_secrets_that_everybody_can_read_are_told_by_their_keys(tmp_path: Path) -> None:
    path = secret(tmp_path)
    environ = {"FORETELL_CACHE__SECRET_FILE": str(path)}
    assert load(tmp_path, environ).readable_secrets() == []
    path.chmod(0o644)
    settings = load(tmp_path, environ)
    assert settings.readable_secrets() == ["cache.secret"]
    assert Settings.from_export(settings.export()).readable_secrets() == ["cache.secret"]
    path.unlink()
    assert settings.readable_secrets() == []


@pytest.mark.parametrize(
    ("name", "text"),
    [("foretell.toml", f'[state]\npepper = "{HUSH}"\n'), (".env", f"FORETELL_STATE__PEPPER={HUSH}\n")],
)
def test_a_configuration_with_a_secret_is_no_more_for_everybody_than_a_file_of_its_own(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / name).chmod(0o644)
    assert load(tmp_path).readable_secrets() == ["state.pepper"]
    assert load(tmp_path, {"FORETELL_STATE__PEPPER": HUSH}).readable_secrets() == []


# -- how they reach our own processes --------------------------------------------------------------------------------


def test_no_process_that_we_start_finds_settings_in_its_environment() -> None:
    given = {"PATH": "/bin", "FORETELL_CACHE__SECRET": HUSH, "foretell_state__url": HUSH, "FORETELL_DEBUG": "1"}
    assert without_settings(given) == {"PATH": "/bin", "FORETELL_DEBUG": "1"}
    settings = Settings(cache=Cache(secret=HUSH))
    assert HUSH not in str(serving_environment(settings, given))


def test_a_document_is_handed_to_another_process_and_read_there_once() -> None:
    document = HUSH * 10_000
    code = "import sys; from foretell.settings_secrets import take_over; print(len(take_over(int(sys.argv[1]))))"
    with handing_over(document) as descriptor:
        told = subprocess.run(
            [sys.executable, "-c", code, str(descriptor)],
            pass_fds=[descriptor],
            capture_output=True,
            text=True,
            check=True,
        )
        mine = os.dup(descriptor)
    assert int(told.stdout) == len(document)
    assert take_over(mine) == document
    with pytest.raises(OSError, match="Bad file"):
        take_over(mine)


def test_where_the_system_has_no_files_in_memory_one_without_a_name_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with handing_over(HUSH) as descriptor:
        assert take_over(os.dup(descriptor)) == HUSH
        assert os.fstat(descriptor).st_nlink == 0


def test_a_descriptor_that_holds_nothing_of_ours_is_an_error() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OSError, match="seek"):
        take_over(ours.fileno())


def test_a_process_that_forbids_core_dumps_and_its_children_leave_none() -> None:
    code = (
        "import resource, subprocess, sys; from foretell.security import core_dumps; core_dumps.forbid();"
        "subprocess.run([sys.executable, '-c', 'import resource; print(resource.getrlimit(resource.RLIMIT_CORE))'])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "(0, 0)"
