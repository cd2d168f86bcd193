"""Version folders and loaded versions made of fakes (``foretell.testing``), for tests of sources and lifecycle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import tomli_w

from foretell.core.identity import Ref
from foretell.core.manifest import MANIFEST_NAME, Artifact, Golden, Manifest
from foretell.core.signature import Signature
from foretell.lifecycle.catalog import Catalog, CatalogHolder, Entry, Reason
from foretell.lifecycle.loader import Loader
from foretell.lifecycle.reconciler import Reconciler
from foretell.lifecycle.servable import Servable
from foretell.lifecycle.states import State
from foretell.runtimes.base import Runtime
from foretell.runtimes.registry import Registry
from foretell.sources.base import Files, Found, Source
from foretell.sources.local import LocalSource
from foretell.testing import FAKE_SIGNATURE, FakeCosts, FakeExecutor, FakeModel, FakeRuntime, MemorySource, fake_prepare


def artifact_of(content: bytes, name: str = "model.fake") -> Artifact:
    return Artifact(name, hashlib.sha256(content).hexdigest(), len(content))


def manifest_of(
    content: bytes = b"1",
    *,
    golden: Sequence[Golden] = (),
    signature: Signature = FAKE_SIGNATURE,
    runtime: str = "fake",
) -> Manifest:
    return Manifest(
        runtime, (artifact_of(content),), signature, datetime(2026, 11, 1, tzinfo=UTC), golden=tuple(golden)
    )


def write_version(folder: Path, content: bytes = b"1", manifest: Manifest | None = None) -> Path:
    """A version folder with a manifest and one ``.fake`` file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.fake").write_bytes(content)
    document = (manifest or manifest_of(content)).to_document()
    (folder / MANIFEST_NAME).write_bytes(tomli_w.dumps(document).encode())
    return folder


def write_bare(folder: Path, content: bytes = b"1", name: str = "model.fake") -> Path:
    """A version folder without a manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return folder


def local(path: Path, runtime: FakeRuntime | None = None) -> LocalSource:
    return LocalSource(path, (runtime or FakeRuntime()).recognise)


def servable_of(model: str = "iris", version: str = "v1", fake: FakeModel | None = None) -> Servable:
    fake = fake or FakeModel()
    return Servable(
        ref=Ref(model, version),
        runtime="fake",
        signature=fake.signature,
        model=fake,
        executor=FakeExecutor(fake),
        costs=FakeCosts(),
        digest="sha256:0",
    )


def ready(model: str, version: str) -> Entry:
    return Entry(Ref(model, version), State.READY, None, servable_of(model, version))


def failed(model: str, version: str) -> Entry:
    return Entry(Ref(model, version), State.FAILED, Reason("load_failed", "it holds no number"))


@dataclass
class World:
    """A reconciler over a source, with everything it needs made of fakes."""

    source: Source = field(default_factory=MemorySource)
    runtime: FakeRuntime = field(default_factory=FakeRuntime)
    default_model: str | None = None

    def __post_init__(self) -> None:
        self.holder = CatalogHolder(Catalog(self.default_model))
        self.loader = Loader(
            open_files=self.open, get_runtime=self.get_runtime, prepare=fake_prepare, decoders=lambda _: {}
        )
        self.reconciler = Reconciler(self.source, self.loader, self.holder)

    def open(self, found: Found) -> AbstractContextManager[Files]:
        return self.source.open(found)

    def get_runtime(self, name: str) -> Runtime:
        return self.runtime if name == self.runtime.name else Registry([]).get(name)

    @property
    def memory(self) -> MemorySource:
        assert isinstance(self.source, MemorySource)
        return self.source

    @property
    def catalog(self) -> Catalog:
        return self.holder.current

    @property
    def states(self) -> dict[str, str]:
        """State by «model version»."""
        return {str(entry.ref): str(entry.state) for entry in self.catalog.entries}

    def reason(self, model: str, version: str) -> Reason:
        entry = self.catalog.find(Ref(model, version))
        assert entry is not None
        assert entry.reason is not None
        return entry.reason


def with_signature(manifest: Manifest, signature: Signature) -> Manifest:
    return replace(manifest, signature=signature)
