"""What is loaded is what was verified: files against their manifest, and against those who change them meanwhile."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from foretell.core.manifest import Artifact, digest
from foretell.errors import IntegrityError
from foretell.sources import integrity
from foretell.sources.integrity import measured, read_file, verified
from tests.versions import artifact_of

CONTENT = b"x" * 3000


def put(folder: Path, content: bytes = CONTENT) -> Path:
    (folder / "model.fake").write_bytes(content)
    return folder


def test_files_that_are_as_stated_pass(tmp_path: Path) -> None:
    artifacts = [artifact_of(CONTENT), artifact_of(b"", "empty.txt")]
    (put(tmp_path) / "empty.txt").touch()
    with verified(tmp_path, artifacts) as files:
        assert files.artifacts == tuple(artifacts)
        assert files.digest == digest(artifacts)
        assert files.path("model.fake").read_bytes() == CONTENT
        files.confirm()


def test_a_file_nothing_is_known_about_is_measured(tmp_path: Path) -> None:
    with measured(put(tmp_path), "model.fake") as files:
        assert files.artifacts == (artifact_of(CONTENT),)


def test_files_larger_than_a_chunk_are_hashed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "_CHUNK_BYTES", 7)
    with verified(put(tmp_path), [artifact_of(CONTENT)]) as files:
        assert files.artifacts == (artifact_of(CONTENT),)


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # a socket's path has a short limit
        try:
            listener.bind(path.name)
        finally:
            os.chdir(here)


def make_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_short(path: Path) -> None:
    path.write_bytes(CONTENT[:-1])


def make_other(path: Path) -> None:
    path.write_bytes(b"y" * len(CONTENT))


def make_nothing(path: Path) -> None:
    pass


BAD: list[tuple[Callable[[Path], None], str]] = [
    (make_fifo, "is a named pipe"),
    (make_socket, "is a socket"),
    (make_link, "is a symbolic link"),
    (Path.mkdir, "is a folder"),
    (make_short, r"has 2,999 bytes, the manifest says 3,000: it is half-copied or was changed"),
    (make_other, r"has SHA-256 .*…, the manifest says .*…: it is half-copied or was changed"),
    (make_nothing, "is missing from the folder"),
]


@pytest.mark.parametrize(("make", "words"), BAD, ids=[make.__name__ for make, _ in BAD])
def test_a_file_that_is_not_as_stated_is_refused(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(tmp_path / "model.fake")
    with pytest.raises(IntegrityError, match=words) as caught, verified(tmp_path, [artifact_of(CONTENT)]):
        pass
    assert str(tmp_path) not in caught.value.detail


def test_a_file_of_a_folder_in_it_is_read_but_not_through_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "package").mkdir(parents=True)
    (folder / "package" / "deep.py").write_text("DEEP = 1")
    (folder / "linked").symlink_to("package")
    with measured(folder, "package/deep.py") as found:
        assert found.path("package/deep.py").read_text() == "DEEP = 1"
        found.confirm()
    with pytest.raises(IntegrityError), measured(folder, "linked/deep.py"):
        pass


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "no/such", "/etc/passwd", "../beside", ".."])
def test_names_that_are_none_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "beside").write_bytes(b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(IntegrityError), verified(tmp_path / "folder", [Artifact(name, "0" * 64, 1)]):
        pass
    with pytest.raises(IntegrityError), measured(tmp_path / "folder", name):
        pass


def test_a_folder_that_is_gone_or_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(put(tmp_path))
    for folder in (tmp_path / "gone", tmp_path / "link"):
        with pytest.raises(IntegrityError, match="folder cannot be read"), measured(folder, "model.fake"):
            pass


def replaced(folder: Path) -> None:
    (folder / "new").write_bytes(b"y" * len(CONTENT))
    (folder / "new").rename(folder / "model.fake")


def overwritten_with_old_times(folder: Path) -> None:
    before = (folder / "model.fake").stat()
    with (folder / "model.fake").open("r+b") as file:
        file.write(b"y")
    os.utime(folder / "model.fake", ns=(before.st_atime_ns, before.st_mtime_ns))


def removed(folder: Path) -> None:
    (folder / "model.fake").unlink()


def became_a_link(folder: Path) -> None:
    (folder / "model.fake").rename(folder / "elsewhere")
    (folder / "model.fake").symlink_to("elsewhere")


@pytest.mark.parametrize("change", [replaced, overwritten_with_old_times, removed, became_a_link])
def test_a_file_changed_after_verification_is_noticed(tmp_path: Path, change: Callable[[Path], None]) -> None:
    with verified(put(tmp_path), [artifact_of(CONTENT)]) as files:
        files.confirm()
        change(tmp_path)
        with pytest.raises(IntegrityError):
            files.confirm()


def test_a_change_within_one_tick_of_the_clock_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity, "identity", lambda _: (0, 0, 0, 0, 0))  # as where both writes bear the same times
    with verified(put(tmp_path), [artifact_of(CONTENT)]) as files:
        overwritten_with_old_times(tmp_path)
        with pytest.raises(IntegrityError, match="was changed while it was being loaded"):
            files.confirm()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs paths of descriptors")
def test_folders_renamed_around_a_version_do_not_change_what_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "v1"
    folder.mkdir()
    with verified(put(folder), [artifact_of(CONTENT)]) as files:
        folder.rename(tmp_path / "aside")
        folder.mkdir()
        put(folder, b"evil")
        assert files.path("model.fake").read_bytes() == CONTENT
        files.confirm()


def test_five_hundred_swaps_never_load_what_was_not_verified(tmp_path: Path) -> None:
    good, evil = tmp_path / "good", tmp_path / "evil"
    for round_ in range(500):
        good.write_bytes(CONTENT)
        evil.write_bytes(b"y" * len(CONTENT))
        good.rename(tmp_path / "model.fake")
        with verified(tmp_path, [artifact_of(CONTENT)]) as files:
            if round_ % 2:
                evil.rename(tmp_path / "model.fake")
            loaded = files.path("model.fake").read_bytes()
            if round_ % 4 == 3:  # and back again, to hide it
                good.write_bytes(CONTENT)
                good.rename(tmp_path / "model.fake")
            if loaded != CONTENT:
                with pytest.raises(IntegrityError):
                    files.confirm()
            else:
                files.confirm()


def test_a_file_that_grows_while_it_is_read_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path) / "model.fake"
    read = os.pread

    def growing(descriptor: int, count: int, offset: int) -> bytes:
        with path.open("ab") as file:
            file.write(b"x" * 100)
        return read(descriptor, count, offset)

    monkeypatch.setattr(os, "pread", growing)
    with pytest.raises(IntegrityError, match="half-copied"), verified(tmp_path, [artifact_of(CONTENT)]):
        pass


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    put(tmp_path)
    assert read_file(tmp_path, "model.fake", 3000) == CONTENT
    assert read_file(tmp_path, "absent", 3000) is None
    with pytest.raises(IntegrityError, match="3,000 bytes; at most 2,999 are read"):
        read_file(tmp_path, "model.fake", 2999)


def test_without_paths_of_descriptors_the_folder_itself_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "exists", lambda _: False)
    with verified(put(tmp_path), [artifact_of(CONTENT)]) as files:
        assert files.path("model.fake") == tmp_path / "model.fake"
