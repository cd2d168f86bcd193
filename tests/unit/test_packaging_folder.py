"""Version folders: named rightly, written whole or not at all, never overwritten."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from foretell.core.identity import Ref
from foretell.core.manifest import MANIFEST_MAX_BYTES, Artifact, Manifest
from foretell.core.signature import Column, Signature
from foretell.errors import PackagingError, VersionExists
from foretell.packaging.folder import VersionFolder, artifact_of, new_version, next_version, store_manifest


def everything(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*"))


def test_the_last_two_parts_of_the_path_name_model_and_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert VersionFolder.at(tmp_path / "iris" / "v1").ref == Ref("iris", "v1")
    (tmp_path / "iris").mkdir()
    monkeypatch.chdir(tmp_path / "iris")
    assert VersionFolder.at("v2").ref == Ref("iris", "v2")
    assert VersionFolder.at("v2").path == Path("v2")


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("models/iris/latest", "'latest' is reserved"),
        ("models/iris/v 1", "'v 1' cannot name a version"),
        ("models/.hidden/v1", "'.hidden' cannot name a model"),
    ],
)
def test_names_outside_the_grammar_are_refused(path: str, says: str) -> None:
    with pytest.raises(PackagingError, match=says):
        VersionFolder.at(path)


def test_the_next_version_follows_the_newest_number(tmp_path: Path) -> None:
    assert next_version(tmp_path / "none") == "v1"
    for name in ("v2", "v10", "2026-01-01", "vx", ".v11.partial"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path) == "v11"


def test_what_is_written_appears_at_once_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = VersionFolder.at(tmp_path / "models" / "iris" / "v1")
    with new_version(target) as hidden:
        (hidden / "model.onnx").write_bytes(b"x")
        assert hidden.name.startswith(".")
        assert not target.path.exists()
    assert everything(tmp_path) == ["models", "models/iris", "models/iris/v1", "models/iris/v1/model.onnx"]


@pytest.mark.parametrize("failure", [ValueError("conversion"), KeyboardInterrupt(), SystemExit(1)])
def test_whatever_fails_leaves_nothing_behind(tmp_path: Path, failure: BaseException) -> None:
    target = VersionFolder.at(tmp_path / "models" / "iris" / "v1")
    with pytest.raises(type(failure)), new_version(target) as hidden:
        (hidden / "model.onnx").write_bytes(b"x")
        raise failure
    assert everything(tmp_path) == []


def test_a_failure_takes_away_only_folders_made_for_it(tmp_path: Path) -> None:
    (tmp_path / "iris").mkdir()
    with pytest.raises(ValueError, match="no"), new_version(VersionFolder.at(tmp_path / "iris" / "v1")):
        raise ValueError("no")
    assert everything(tmp_path) == ["iris"]
    with pytest.raises(ValueError, match="no"), new_version(VersionFolder.at(tmp_path / "a" / "wine" / "v1")):
        (tmp_path / "a" / "wine" / "v2").mkdir()  # meanwhile somebody else writes there
        raise ValueError("no")
    assert everything(tmp_path) == ["a", "a/wine", "a/wine/v2", "iris"]


def test_a_kill_between_writing_and_publishing_leaves_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(self: Path, target: Path) -> Path:
        raise Killed

    target = VersionFolder.at(tmp_path / "iris" / "v1")
    monkeypatch.setattr(Path, "rename", killed)
    monkeypatch.setattr(shutil, "rmtree", lambda *_args, **_more: None)  # a killed process tidies nothing up
    with pytest.raises(Killed), new_version(target) as hidden:
        (hidden / "model.onnx").write_bytes(b"x")
    assert not target.path.exists()
    left = [path for path in (tmp_path / "iris").iterdir() if not path.name.startswith(".")]
    assert left == [], "what is left is hidden, and no source looks at hidden folders"
    monkeypatch.undo()
    with new_version(target) as hidden:
        (hidden / "model.onnx").write_bytes(b"x")
    assert target.path.is_dir()


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_anything_under_the_name_is_never_overwritten(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "iris" / "v1"
    path.parent.mkdir()
    if kind == "folder":
        path.mkdir()
    elif kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to("nowhere")
    with pytest.raises(VersionExists, match="never overwritten") as caught, new_version(VersionFolder.at(path)):
        pytest.fail("must not come so far")
    assert caught.value.hint == f"the next free version is {'v2'}"
    assert everything(tmp_path) == ["iris", "iris/v1"]


def test_of_many_that_write_the_same_version_exactly_one_wins(tmp_path: Path) -> None:
    target = VersionFolder.at(tmp_path / "iris" / "v1")
    together = threading.Barrier(8)
    outcomes: list[str] = []

    def write(name: str) -> None:
        try:
            with new_version(target) as hidden:
                (hidden / name).write_text(name)
                together.wait()
            outcomes.append(name)
        except VersionExists:
            outcomes.append("refused")

    threads = [threading.Thread(target=write, args=(f"writer-{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = (name for name in outcomes if name != "refused")
    assert len(outcomes) == 8
    assert everything(tmp_path) == ["iris", "iris/v1", f"iris/v1/{winner}"]


def test_a_full_disk_is_told_in_words_and_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(PackagingError, match="cannot be written: No space left on device"),
        new_version(VersionFolder.at(tmp_path / "iris" / "v1")),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert everything(tmp_path) == []


def test_a_rename_that_fails_for_another_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Path, target: Path) -> Path:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(PackagingError, match="cross-device"), new_version(VersionFolder.at(tmp_path / "iris" / "v1")):
        pass
    assert everything(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "iris").write_text("a file")
    with (
        pytest.raises(PackagingError, match="cannot be made: "),
        new_version(VersionFolder.at(tmp_path / "iris" / "v1")),
    ):
        pytest.fail("must not come so far")


def test_an_artifact_is_described_by_its_bytes(tmp_path: Path) -> None:
    content = os.urandom(3 * 1024 * 1024)
    (tmp_path / "model.onnx").write_bytes(content)
    assert artifact_of(tmp_path / "model.onnx") == Artifact(
        "model.onnx", hashlib.sha256(content).hexdigest(), len(content)
    )


def test_a_manifest_beyond_what_servers_read_is_refused(tmp_path: Path) -> None:
    artifact = Artifact("model.onnx", "0" * 64, 1)
    manifest = Manifest(
        "onnx", (artifact,), Signature((Column("a"),)), datetime.now(UTC), metadata={"a": "x" * MANIFEST_MAX_BYTES}
    )
    with pytest.raises(PackagingError, match="the manifest has"):
        store_manifest(tmp_path, manifest)
    assert everything(tmp_path) == []
