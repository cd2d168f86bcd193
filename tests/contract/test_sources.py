"""What every source promises, wherever it finds versions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from foretell.core.identity import Ref
from foretell.errors import ArtifactError, IntegrityError
from foretell.sources.base import Source
from foretell.testing import MemorySource
from tests.versions import artifact_of, local, write_bare


class Shelf(Protocol):
    """A source, and a way to put versions where it finds them; content that is None is to have a fault."""

    source: Source

    def put(self, model: str, version: str, content: bytes | None) -> None: ...

    def remove(self, model: str, version: str) -> None: ...


class LocalShelf:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.source: Source = local(root)

    def put(self, model: str, version: str, content: bytes | None) -> None:
        folder = write_bare(self.root / model / version, content or b"")
        if content is None:
            (folder / "manifest.toml").write_text("no TOML")

    def remove(self, model: str, version: str) -> None:
        (self.root / model / version / "model.fake").unlink()
        (self.root / model / version).rmdir()


class MemoryShelf:
    def __init__(self, _: Path) -> None:
        self.source: Source = MemorySource()
        self.memory = self.source

    def put(self, model: str, version: str, content: bytes | None) -> None:
        self.memory.put(model, version, ArtifactError("broken") if content is None else content)

    def remove(self, model: str, version: str) -> None:
        self.memory.remove(model, version)


@pytest.fixture(params=[LocalShelf, MemoryShelf], ids=["local", "memory"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    make: Callable[[Path], Shelf] = request.param
    return make(tmp_path)


def scan(shelf: Shelf) -> dict[str, str]:
    """Stamp by version."""
    return {str(found.ref): found.stamp for found in shelf.source.scan()}


def test_an_empty_source_holds_nothing(shelf: Shelf) -> None:
    assert list(shelf.source.scan()) == []


def test_every_version_is_found_once(shelf: Shelf) -> None:
    for model, version in (("iris", "v1"), ("iris", "v2"), ("churn", "v1")):
        shelf.put(model, version, b"1")
    found = shelf.source.scan()
    assert sorted(str(item.ref) for item in found) == ["churn v1", "iris v1", "iris v2"]
    assert all(item.fault is None and item.artifact is not None for item in found)
    assert all(item.manifest or item.recognition for item in found)


def test_a_fault_hides_nothing_else(shelf: Shelf) -> None:
    shelf.put("iris", "v1", b"1")
    shelf.put("iris", "v2", None)
    shelf.put("iris", "v3", b"1")
    faults = {item.ref.version: item.fault is not None for item in shelf.source.scan()}
    assert faults == {"v1": False, "v2": True, "v3": False}


def test_what_was_removed_is_not_found_any_more(shelf: Shelf) -> None:
    shelf.put("iris", "v1", b"1")
    shelf.put("iris", "v2", b"1")
    shelf.remove("iris", "v1")
    assert list(scan(shelf)) == ["iris v2"]


def test_stamps_change_with_the_content_and_stay_without(shelf: Shelf) -> None:
    shelf.put("iris", "v1", b"1")
    shelf.put("iris", "v2", b"1")
    first = scan(shelf)
    assert scan(shelf) == first
    shelf.put("iris", "v2", b"22")
    assert {ref for ref, stamp in scan(shelf).items() if stamp != first[ref]} == {"iris v2"}


def test_files_are_there_while_they_are_open(shelf: Shelf) -> None:
    shelf.put("iris", "v1", b"1.5")
    (found,) = shelf.source.scan()
    assert found.artifact is not None
    with shelf.source.open(found) as files:
        assert files.path(found.artifact.name).read_bytes() == b"1.5"
        assert list(files.artifacts) == [artifact_of(b"1.5")]
        assert files.digest.startswith("sha256:")
        files.confirm()


def test_what_went_away_cannot_be_opened(shelf: Shelf) -> None:
    shelf.put("iris", "v1", b"1")
    (found,) = shelf.source.scan()
    assert found.ref == Ref("iris", "v1")
    shelf.remove("iris", "v1")
    with pytest.raises(IntegrityError), shelf.source.open(found):
        pass
