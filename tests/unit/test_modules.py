"""Which files a bare model.py is made of."""

from __future__ import annotations

from pathlib import Path

import pytest

from foretell.errors import IntegrityError
from foretell.runtimes import registry
from foretell.sources.local import LocalSource
from foretell.sources.modules import MAX_MODULES, module_names

MODEL = "class M:\n    def predict(self, x: float) -> float:\n        return x\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "m" / "v1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    return folder


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")


def digest(folder: Path) -> tuple[str, str]:
    """Of the only version there, with its stamp."""
    source = LocalSource(folder, registry.recognise)
    (found,) = source.scan()
    assert found.fault is None, found.fault
    with source.open(found) as files:
        return files.digest, found.stamp


def test_what_can_be_imported_from_beside_it_is_part_of_it(folder: Path) -> None:
    put(folder, "features.py", "package/__init__.py", "package/deep/__init__.py", "package/deep/a.py", "b.py")
    put(folder, "weights.npy", "no-module.py", ".hidden.py", "no_package/c.py", "package/table.csv", "__pycache__/d.py")
    assert module_names(folder, "model.py") == (
        "model.py",
        "b.py",
        "features.py",
        "package/__init__.py",
        "package/deep/__init__.py",
        "package/deep/a.py",
    )


@pytest.mark.parametrize("name", ["features.py", "package/deep.py"])
def test_another_module_beside_it_is_another_digest(folder: Path, name: str) -> None:
    put(folder, "package/__init__.py", name)
    before = digest(folder)
    (folder / name).write_text("changed = True")
    after = digest(folder)
    assert before[0] != after[0] and before[1] != after[1]
    (folder / name).write_text("")
    assert digest(folder)[0] == before[0]


def test_folders_that_are_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    put(tmp_path, "elsewhere/__init__.py")
    (folder / "package").symlink_to(tmp_path / "elsewhere")
    assert module_names(folder, "model.py") == ("model.py",)


def test_a_module_that_is_a_link_is_refused(folder: Path, tmp_path: Path) -> None:
    put(tmp_path, "other.py")
    (folder / "features.py").symlink_to(tmp_path / "other.py")
    source = LocalSource(folder, registry.recognise)
    (found,) = source.scan()
    with pytest.raises(IntegrityError, match=r"features\.py is a symbolic link"), source.open(found):
        pass


def test_more_modules_than_any_model_has_are_told(folder: Path) -> None:
    put(folder, *(f"m{number}.py" for number in range(MAX_MODULES - 1)))
    assert len(module_names(folder, "model.py")) == MAX_MODULES
    put(folder, "one_more.py")
    (found,) = LocalSource(folder, registry.recognise).scan()
    assert isinstance(found.fault, IntegrityError)
    assert "255 Python files" in found.fault.detail and "--with" in str(found.fault.hint)


def test_a_folder_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="gone, beside the model, cannot be read"):
        module_names(tmp_path / "gone", "model.py")
