"""The reloader's eyes: models, Python files and settings, and nothing that is not ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from foretell.cli.serving.watch import Watch


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    (tmp_path / "models" / "iris" / "v1").mkdir(parents=True)
    (tmp_path / "models" / "iris" / "v1" / "model.onnx").write_text("one")
    (tmp_path / "train.py").write_text("one")
    return Watch(tmp_path / "models", tmp_path)


def test_nothing_changed_is_nothing(watch: Watch) -> None:
    assert watch.changes() == []


@pytest.mark.parametrize(
    "name",
    ["models/iris/v1/model.onnx", "models/iris/v1/new.txt", "train.py", "sub/helper.py", "foretell.toml", ".env"],
)
def test_a_change_is_seen_once(watch: Watch, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("another text")
    assert watch.changes() == [path]
    assert watch.changes() == []


def test_a_file_that_went_is_a_change(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "train.py").unlink()
    assert watch.changes() == [tmp_path / "train.py"]


@pytest.mark.parametrize(
    "name", ["notes.md", ".git/x.py", "__pycache__/x.py", "venv/lib/x.py", "node_modules/x.py", "models/.hidden"]
)
def test_what_is_not_ours_is_passed_over(watch: Watch, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if "venv" in name:
        (tmp_path / "venv" / "pyvenv.cfg").write_text("")
    path.write_text("x")
    assert watch.changes() == []


def test_a_link_to_nowhere_is_not_there(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "models" / "gone").symlink_to(tmp_path / "nowhere")
    assert watch.changes() == []


def test_a_single_model_file_is_watched(tmp_path: Path) -> None:
    model = tmp_path / "elsewhere.onnx"
    model.write_text("one")
    (tmp_path / "work").mkdir()
    watch = Watch(model, tmp_path / "work")
    before = model.stat()
    model.write_text("two")
    os.utime(model, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert watch.changes() == [model]
