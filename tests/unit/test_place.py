"""The folder where processes meet: ours alone, one at a time in it, and gone when nobody needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.cli.serving.hosting import meeting_place
from foretell.errors import OperatorError
from foretell.execution.hosted.place import LOCK_NAME, Place, private_folder, sweep, temporary_folder, temporary_prefix
from foretell.settings import Settings


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def left_behind(folder: Path) -> Path:
    """A folder as a server leaves it that was killed."""
    folder.mkdir(mode=0o700)
    for name in ("supervisor.sock", "17.sock"):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(folder / name))
    (folder / "17.task").write_text("{}")
    (folder / LOCK_NAME).touch(mode=0o600)
    return folder


@pytest.fixture
def place(parent: Path) -> Iterator[Place]:
    place = Place(temporary_folder("mine"))
    yield place
    place.close()


def test_the_folder_of_sockets_is_this_users_alone(tmp_path: Path) -> None:
    made = private_folder(tmp_path / "sockets")
    assert made.stat().st_mode & 0o777 == 0o700
    assert private_folder(made) == made
    made.chmod(0o755)
    with pytest.raises(OperatorError, match="not a folder of this user alone"):
        private_folder(made)
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(OperatorError):
        private_folder(link)


def test_one_at_a_time_has_a_place(parent: Path, place: Place) -> None:
    other = Place(place.folder)
    assert place.take() and not other.take()
    place.leave()
    assert other.take() and not place.take()
    other.close()
    assert place.take()


def test_what_killed_servers_left_is_gone_once_another_begins(parent: Path, place: Place) -> None:
    stale = [left_behind(temporary_folder(name)) for name in ("1-a", "2-b")]
    (empty := temporary_folder("3-c")).mkdir(mode=0o700)
    assert place.take()
    assert not any(folder.exists() for folder in (*stale, empty))
    assert [path.name for path in parent.iterdir()] == [place.folder.name]


def test_a_place_that_a_process_holds_is_left_alone(parent: Path, place: Place) -> None:
    held = left_behind(temporary_folder("held"))
    holding = (
        "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(held / LOCK_NAME)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert place.take()
        assert len(list(held.iterdir())) == 4
        holder.kill()
    sweep(parent)
    assert not held.exists()


@pytest.mark.parametrize("what", ["foreign file", "open to others", "link", "other name"])
def test_what_is_not_surely_ours_is_left_alone(parent: Path, place: Place, what: str) -> None:
    folder = left_behind(temporary_folder("1-a") if what != "other name" else parent / "foretell-else")
    if what == "foreign file":
        (folder / "notes.txt").touch()
    elif what == "open to others":
        folder.chmod(0o755)
    elif what == "link":
        folder = folder.rename(parent / "elsewhere")
        temporary_folder("1-a").symlink_to(folder)
    before = sorted(folder.iterdir())
    assert place.take()
    assert sorted(folder.iterdir()) == before


def test_a_folder_the_operator_named_sweeps_nothing_and_stays(parent: Path) -> None:
    stale = left_behind(temporary_folder("1-a"))
    named = Place(parent / "named")
    assert named.take()
    named.clear()
    assert stale.exists() and (parent / "named").exists()


def test_a_place_is_gone_after_an_orderly_end(parent: Path, place: Place) -> None:
    assert place.take()
    place.clear()
    assert list(parent.iterdir()) == []


def test_a_place_that_another_has_taken_over_stays(parent: Path, place: Place) -> None:
    other = Place(place.folder)
    assert place.take() and not other.take()
    place.leave()
    assert other.take()
    place.clear()
    assert (place.folder / LOCK_NAME).exists()
    assert not Place(place.folder).take()
    other.clear()
    assert not place.folder.exists()


def test_two_never_hold_it_though_it_was_taken_away_between(parent: Path, place: Place) -> None:
    """The lock of a file that is no longer there is worth nothing."""
    waiting, third = Place(place.folder), Place(place.folder)
    assert place.take() and not waiting.take()
    place.clear()
    assert third.take()
    assert not waiting.take()
    third.clear()
    assert waiting.take() and place.folder.exists()
    waiting.clear()


def test_a_folder_that_cannot_be_made_is_told_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match="cannot be used: Not a directory") as caught:
        Place(tmp_path / "file" / "sockets").take()
    assert caught.value.hint is not None and "execution.folder" in caught.value.hint


def test_a_full_disk_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    place = Place(tmp_path / "sockets")
    monkeypatch.setattr("foretell.execution.hosted.place.os.open", full)
    with pytest.raises(OperatorError, match="No space left on device") as caught:
        place.take()
    assert "Make room" in str(caught.value.hint)


def test_a_server_begins_without_a_temporary_folder_and_whoever_needs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", full)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    with meeting_place(Settings()) as settings:
        assert settings.execution.folder is None
    with pytest.raises(OperatorError, match="cannot be used"):
        Place(temporary_folder("x")).take()


def test_the_folder_of_a_server_that_was_killed_is_gone_once_the_next_begins(parent: Path) -> None:
    stale = left_behind(temporary_folder("1-a"))
    with meeting_place(Settings()) as settings:
        assert settings.execution.folder is not None and settings.execution.folder.name.startswith(temporary_prefix())
        assert not stale.exists()
    assert list(parent.iterdir()) == []


def test_temporary_folders_bear_the_user(parent: Path) -> None:
    assert temporary_folder("x") == parent / f"foretell-{os.getuid()}-x"
    assert temporary_prefix() == f"foretell-{os.getuid()}-"
