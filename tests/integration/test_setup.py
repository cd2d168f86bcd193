"""The set-up of a fresh machine: which Python is taken, what is said where there is none, and what the locks hold."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FIND_PYTHON = ROOT / "tools" / "find-python.sh"
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def find_python(tmp_path: Path, **pythons: str) -> subprocess.CompletedProcess[str]:
    """Runs the search where only the given Pythons are there, each a shell script."""
    for name, text in pythons.items():
        script(tmp_path / name.replace("_", "."), text)
    environment = {"PATH": f"{tmp_path}{os.pathsep}/nowhere"}
    (tmp_path / "head").symlink_to("/usr/bin/head")
    command = ["/bin/sh", str(FIND_PYTHON)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


OLD = 'test "$1" = --version && echo Python 3.9.2 && exit 0\nexit 1'
GOOD = "exit 0"
NO_VENV = 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.12;; esac\nexit 0'


def test_the_first_python_that_is_new_enough_is_taken(tmp_path: Path) -> None:
    run = find_python(tmp_path, python3=OLD, python3_12=GOOD)
    assert run.stdout.strip() == str(tmp_path / "python3.12")


def test_a_python_that_is_too_old_is_named_with_what_is_needed(tmp_path: Path) -> None:
    run = find_python(tmp_path, python3=OLD)
    assert run.returncode == 1
    assert "needs Python 3.11 to 3.14" in run.stderr
    assert "Python 3.9.2" in run.stderr


def test_a_python_without_venv_is_told_the_package_that_brings_it(tmp_path: Path) -> None:
    run = find_python(tmp_path, python3=NO_VENV)
    assert run.returncode == 1
    assert "apt install python3.12-venv" in run.stderr


def test_a_machine_without_python_is_told_what_to_install(tmp_path: Path) -> None:
    run = find_python(tmp_path)
    assert run.returncode == 1
    assert "found: none" in run.stderr
    assert "apt install python3 python3-venv" in run.stderr


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_everything_by_hash_and_names_no_index(lock: Path) -> None:
    text = lock.read_text()
    pinned = re.findall(r"^([a-z0-9][a-z0-9._-]*)==", text, re.MULTILINE)
    entries = re.split(r"^(?=[a-z0-9][a-z0-9._-]*==)", text, flags=re.MULTILINE)[1:]
    assert len(pinned) == len(entries) > 40
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "torch" not in pinned
    assert not re.search(r"https?://|file:|/home/|/tmp/|--index|--extra-index|--find-links|^-e ", text, re.MULTILINE)


def test_both_locks_agree() -> None:
    versions = [set(re.findall(r"^[a-z0-9][a-z0-9._-]*==\S+", lock.read_text(), re.MULTILINE)) for lock in LOCKS]
    development, serving = versions
    assert serving <= development
