"""Damaged and hostile folders are reported and never loaded; the rest serves."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from foretell.core.manifest import MANIFEST_MAX_BYTES
from foretell.sources import listing
from foretell.testing import FakeRuntime
from tests.versions import World, local, write_bare, write_version

Spoil = Callable[[Path], object]


def manifest(folder: Path) -> Path:
    return folder / "manifest.toml"


def edit(old: str, new: str) -> Spoil:
    def spoil(folder: Path) -> None:
        text = manifest(folder).read_text()
        assert old in text
        manifest(folder).write_text(text.replace(old, new, 1))

    return spoil


def write(content: bytes) -> Spoil:
    return lambda folder: manifest(folder).write_bytes(content)


def replace(name: str, make: Callable[[Path], object]) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return spoil


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(MANIFEST_MAX_BYTES + 1)


def emptied(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


HOSTILE: dict[str, tuple[Spoil, str, str]] = {
    "empty manifest": (write(b""), "manifest_invalid", "format is None"),
    "not TOML": (write(b"format = = 1"), "manifest_invalid", "not valid TOML"),
    "not UTF-8": (write(b"format = '\xff'"), "manifest_invalid", "not UTF-8"),
    "UTF-16": (write("format = 1".encode("utf-16")), "manifest_invalid", "not UTF-8"),
    "binary": (write(os.urandom(4096)), "manifest_invalid", "manifest.toml"),
    "deep arrays": (write(b"a = " + b"[" * 100_000), "manifest_invalid", "nested too deeply"),
    "deep tables": (write(b"a = " + b"{b=" * 50_000), "manifest_invalid", "nested too deeply"),
    "endless number": (write(b"format = " + b"9" * 10_000), "manifest_invalid", "out of range"),
    "huge manifest": (replace("manifest.toml", sparse), "integrity_failed", "at most 4,194,304 are read"),
    "unknown key": (edit("format = 1", "format = 1\nevil = 1"), "manifest_invalid", "unknown keys: evil"),
    "later format": (edit("format = 1", "format = 2"), "manifest_invalid", "reads 1"),
    "wrong types": (edit("[signature]", "[signature]\ntensors = 5"), "manifest_invalid", "must be a list"),
    "unhashable": (
        lambda folder: manifest(folder).write_text(
            manifest(folder).read_text() + '\n[[signature.tensors]]\nname = "t"\ndtype = ["float32"]\nshape = [1]\n'
        ),
        "manifest_invalid",
        "wrong type",
    ),
    "unknown runtime": (edit('runtime = "fake"', 'runtime = "none"'), "artifact_unrecognised", "no runtime is called"),
    "path up": (edit('"model.fake"', '"../../../etc/passwd"'), "manifest_invalid", "not the plain name of a file"),
    "absolute path": (edit('"model.fake"', '"/etc/passwd"'), "manifest_invalid", "not the plain name of a file"),
    "dot path": (edit('"model.fake"', '".."'), "manifest_invalid", "not the plain name of a file"),
    "path down": (edit('"model.fake"', '"sub/model.fake"'), "manifest_invalid", "not the plain name of a file"),
    "itself": (edit('"model.fake"', '"manifest.toml"'), "manifest_invalid", "not the plain name of a file"),
    "NUL in a name": (edit('"model.fake"', '"a\\u0000b"'), "manifest_invalid", "not the plain name of a file"),
    "endless name": (edit('"model.fake"', f'"{"x" * 5000}"'), "manifest_invalid", "not the plain name of a file"),
    "wrong digest": (lambda f: (f / "model.fake").write_bytes(b"2"), "integrity_failed", "half-copied or was changed"),
    "truncated": (lambda f: (f / "model.fake").write_bytes(b""), "integrity_failed", "half-copied or was changed"),
    "grown": (lambda f: (f / "model.fake").write_bytes(b"11"), "integrity_failed", "half-copied or was changed"),
    "missing file": (lambda f: (f / "model.fake").unlink(), "integrity_failed", "is missing"),
    "link out": (
        replace("model.fake", lambda path: path.symlink_to("/etc/passwd")),
        "integrity_failed",
        "leaves the repository",
    ),
    "link inside": (
        replace("model.fake", lambda path: path.symlink_to("manifest.toml")),
        "integrity_failed",
        "only folders may be linked",
    ),
    "link to nothing": (
        replace("model.fake", lambda path: path.symlink_to("gone")),
        "integrity_failed",
        "leads nowhere",
    ),
    "fifo": (replace("model.fake", os.mkfifo), "integrity_failed", "named pipe"),
    "folder for a file": (replace("model.fake", Path.mkdir), "integrity_failed", "is a folder"),
    "manifest fifo": (replace("manifest.toml", os.mkfifo), "integrity_failed", "named pipe"),
    "manifest folder": (replace("manifest.toml", Path.mkdir), "integrity_failed", "manifest.toml"),
    "manifest link out": (
        replace("manifest.toml", lambda path: path.symlink_to("/etc/passwd")),
        "integrity_failed",
        "leaves the repository",
    ),
    "cannot be loaded": (lambda f: write_version(f, b"not a number"), "load_failed", "holds no number"),
    "nothing in it": (
        emptied,
        "artifact_unrecognised",
        "it holds no file",
    ),
}


def world(root: Path) -> World:
    runtime = FakeRuntime()
    return World(local(root, runtime), runtime)


@pytest.mark.parametrize("case", HOSTILE)
def test_it_is_reported_and_the_rest_serves(tmp_path: Path, case: str) -> None:
    spoil, code, words = HOSTILE[case]
    for version in ("v1", "v2"):
        write_version(tmp_path / "iris" / version)
    write_version(tmp_path / "churn" / "v1")
    spoil(tmp_path / "iris" / "v2")

    async def story() -> None:
        made = world(tmp_path)
        await made.reconciler.start()
        assert made.states == {"churn v1": "ready", "iris v1": "ready", "iris v2": "failed"}
        reason = made.reason("iris", "v2")
        assert reason.code == code
        assert words in reason.detail
        assert len(reason.detail) < 1000
        assert str(tmp_path) not in reason.detail
        assert made.catalog.resolve("iris").ref.version == "v1"
        await made.reconciler.close()

    asyncio.run(story())


def test_names_that_cannot_be_are_reported_in_printable_form(tmp_path: Path) -> None:
    write_version(tmp_path / "iris" / "v1")
    for name in (b"v\xff\xfe", b"a b", b"latest", b"\x1b[31m", b"-v1", "é".encode()):
        folder = os.fsencode(tmp_path / "iris") + b"/" + name
        os.mkdir(folder)  # noqa: PTH102 - the name is bytes
    write_version(tmp_path / "my models" / "v1")
    faults = {str(found.ref): found.fault.detail for found in local(tmp_path).scan() if found.fault}
    assert sorted(faults) == [
        "iris -v1", "iris \\x1b[31m", "iris a b", "iris latest", "iris v\\xff\\xfe", "iris é", "my models v1",
    ]  # fmt: skip
    assert "'latest' is reserved" in faults["iris latest"]
    assert "cannot name a model" in faults["my models v1"]
    assert all(text.isprintable() and text.encode() for pair in faults.items() for text in pair)


def test_names_that_differ_in_case_only_are_different(tmp_path: Path) -> None:
    for path in ("iris/v1", "Iris/v1", "iris/V1"):
        write_version(tmp_path / path)
    assert sorted(str(found.ref) for found in local(tmp_path).scan()) == ["Iris v1", "iris V1", "iris v1"]


def test_linked_folders_are_followed_inside_the_root_and_never_out_of_it(tmp_path: Path) -> None:
    root, outside = tmp_path / "models", tmp_path / "outside"
    write_version(root / "iris" / "v1")
    write_version(outside / "v1")
    (root / "iris" / "v2").symlink_to("v1")
    (root / "iris" / "v3").symlink_to(outside / "v1")
    (root / "iris" / "v4").symlink_to("../../outside/v1")
    (root / "iris" / "v5").symlink_to("v5")
    (root / "evil").symlink_to(outside)
    (root / "loop").symlink_to(".")
    found = {str(item.ref): item for item in local(root).scan()}
    assert found["iris v2"].fault is None
    assert found["iris v2"].folder == root / "iris" / "v1"
    for ref in ("iris v3", "iris v4", "evil v1"):
        fault = found[ref].fault
        assert fault is not None
        assert "leaves the repository" in fault.detail
    assert found["iris v5"].fault is not None
    assert all(item.folder.is_relative_to(root) for item in found.values())


def test_special_files_in_a_repository_are_reported_and_never_opened(tmp_path: Path) -> None:
    write_version(tmp_path / "iris" / "v1")
    os.mkfifo(tmp_path / "pipe.fake")
    os.mkfifo(tmp_path / "iris" / "pipe")
    faults = {str(found.ref): found.fault.detail for found in local(tmp_path).scan() if found.fault}
    assert set(faults) == {"iris pipe", "pipe.fake v1"}
    assert all("named pipe" in detail for detail in faults.values())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make devices")
def test_a_device_is_reported_and_never_opened(tmp_path: Path) -> None:
    folder = write_version(tmp_path / "iris" / "v1")
    (folder / "model.fake").unlink()
    try:
        os.mknod(folder / "model.fake", 0o666 | 0o020000, os.makedev(1, 5))  # /dev/zero, which never ends
    except PermissionError:
        pytest.skip("devices cannot be made here")
    fault = local(tmp_path).scan()[0].fault
    assert fault is not None
    assert "a device" in fault.detail


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_reported(tmp_path: Path) -> None:
    write_version(tmp_path / "iris" / "v1")
    closed = write_version(tmp_path / "iris" / "v2")
    closed.chmod(0)
    try:
        faults = [str(found.ref) for found in local(tmp_path).scan() if found.fault]
    finally:
        closed.chmod(0o700)
    assert faults == ["iris v2"]


def test_a_folder_that_vanishes_under_the_scan_is_reported(tmp_path: Path) -> None:
    read = listing.Lister(tmp_path).list(tmp_path / "gone")
    assert read.fault is not None
    assert "cannot be read: No such file" in read.fault.detail


def test_a_folder_that_holds_too_much_ends_and_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_ENTRIES", 5)
    for number in range(9):
        write_version(tmp_path / f"m{number}" / "v1")
    for number in range(9):
        (tmp_path / "m0" / "v1" / f"{number}.txt").touch()
    found = local(tmp_path).scan()
    whole = [item for item in found if item.ref.model == "*"]
    assert len(whole) == 1
    assert whole[0].fault is not None
    assert "only 5 entries are looked at" in whole[0].fault.detail
    assert len(found) == 6


def test_a_scan_that_sees_too_much_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "MAX_ENTRIES_SCANNED", 40)
    for number in range(30):
        write_version(tmp_path / f"m{number:02}" / "v1")
    found = local(tmp_path).scan()
    assert 0 < sum(item.fault is None for item in found) < 30
    assert any(item.fault is not None and "holds too much" in item.fault.detail for item in found)


def test_of_five_hundred_models_twenty_broken_ones_take_nothing_along(tmp_path: Path) -> None:
    cases = [spoil for spoil, _, _ in HOSTILE.values()]
    for number in range(500):
        folder = write_version(tmp_path / f"m{number:03}" / "v1")
        if number % 25 == 0:
            cases[number // 25](folder)

    async def story() -> None:
        made = world(tmp_path)
        await made.reconciler.start()
        states = list(made.states.values())
        assert (states.count("ready"), states.count("failed")) == (480, 20)
        assert made.catalog.resolve("m001").ref.model == "m001"
        assert not made.catalog.is_ready("all")
        await made.reconciler.close()

    asyncio.run(story())


def test_a_bare_file_that_is_half_copied_fails_to_load_and_is_tried_again(tmp_path: Path) -> None:
    folder = write_bare(tmp_path / "iris" / "v1", b"1e")

    async def story() -> None:
        made = world(tmp_path)
        await made.reconciler.start()
        assert made.states == {"iris v1": "failed"}
        (folder / "model.fake").write_bytes(b"1e3")
        await made.reconciler.rescan()
        assert made.states == {"iris v1": "ready"}
        await made.reconciler.close()

    asyncio.run(story())
