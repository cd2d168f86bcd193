"""From something found to something that answers, or an ArtifactError and nothing left behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.codecs.base import Decoders
from foretell.core.execution import ExecutionOptions
from foretell.core.manifest import Golden
from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Inputs, Outputs
from foretell.errors import (
    ArtifactError,
    GoldenMismatch,
    IntegrityError,
    LoadFailed,
    UnrecognisedArtifact,
    UntrustedArtifact,
)
from foretell.execution.base import Executor
from foretell.lifecycle.loader import Loader
from foretell.lifecycle.servable import Costs, Servable
from foretell.lifecycle.states import State
from foretell.runtimes.base import Model, Recognition
from foretell.sources.base import Found
from foretell.testing import FakeExecutor, FakeRuntime, fake_prepare
from tests.versions import World, local, manifest_of, write_bare, write_version

CATEGORY = Signature((Column("c", ColumnType.CATEGORY),), output=Output("regression"))


class Case:
    """One version folder and a loader for it."""

    def __init__(self, root: Path, **runtime: Any) -> None:
        self.root = root
        self.runtime = FakeRuntime(**runtime)
        self.world = World(local(root, self.runtime), self.runtime)

    def found(self) -> Found:
        (found,) = self.world.source.scan()
        return found

    def load(self, loader: Loader | None = None) -> Servable:
        return asyncio.run((loader or self.world.loader).load(self.found()))

    def refused(self, kind: type[ArtifactError], words: str, loader: Loader | None = None) -> ArtifactError:
        """The refusal; whatever was loaded has been closed, once."""
        with pytest.raises(ArtifactError, match=words) as caught:
            self.load(loader)
        assert type(caught.value) is kind
        assert [model.closed for model in self.runtime.loaded] == [1] * len(self.runtime.loaded)
        assert str(self.root) not in caught.value.detail
        return caught.value


def packaged(root: Path, *golden: Golden, signature: Signature | None = None, **runtime: Any) -> Case:
    manifest = manifest_of(b"2", golden=golden) if signature is None else manifest_of(b"2", signature=signature)
    write_version(root / "iris" / "v1", b"2", manifest)
    return Case(root, **runtime)


def test_a_packaged_version_answers(tmp_path: Path) -> None:
    case = packaged(tmp_path, Golden([1.0, 2.0], 6.0), Golden({"x": 0.0, "y": 1.0}, 2.0))
    servable = case.load()
    assert (str(servable.ref), servable.runtime, servable.state) == ("iris v1", "fake", State.READY)
    assert servable.manifest is not None
    assert servable.digest == servable.manifest.digest
    assert servable.signature == servable.manifest.signature
    assert servable.created_at == servable.manifest.created_at
    assert servable.example == [1.0, 2.0]
    assert (servable.model_type, servable.parameters) == ("Fake", {"factor": 2.0})
    assert servable.loaded_at.utcoffset() is not None
    assert servable.load_s > 0
    assert servable.stamp == case.found().stamp


def test_what_must_be_hosted_is_not_loaded_in_this_process(tmp_path: Path) -> None:
    case = packaged(tmp_path, isolation="hosted")
    case.refused(UntrustedArtifact, "a process of their own")
    assert case.runtime.loaded == []


def test_a_version_without_a_manifest_answers(tmp_path: Path) -> None:
    write_bare(tmp_path / "iris" / "v1", b"3")
    servable = Case(tmp_path).load()
    assert servable.manifest is None
    assert servable.digest.startswith("sha256:")
    assert servable.example == {"x": 0.0, "y": 0.0}


def test_loading_is_told_apart_from_trying(tmp_path: Path) -> None:
    case = packaged(tmp_path)
    told: list[list[int]] = []
    asyncio.run(case.world.loader.load(case.found(), lambda: told.append(list(case.runtime.loaded[0].batches))))
    assert told == [[]]
    assert case.runtime.loaded[0].batches == [1, 3]


def test_loading_leaves_the_loop_free(tmp_path: Path) -> None:
    going = threading.Event()
    case = packaged(tmp_path, on_load=lambda _: going.wait(20) or pytest.fail("the loop was held"))

    async def story() -> None:
        task = asyncio.create_task(case.world.loader.load(case.found()))
        await asyncio.sleep(0)
        going.set()  # can only be reached while loading waits
        await task

    asyncio.run(story())


def test_a_fault_that_was_found_is_raised(tmp_path: Path) -> None:
    case = packaged(tmp_path)
    (tmp_path / "iris" / "v1" / "manifest.toml").write_text("no")
    assert case.refused(type(case.found().fault or ArtifactError("")), "not valid TOML")


def test_something_without_a_file_is_refused(tmp_path: Path) -> None:
    case = packaged(tmp_path)
    found = case.found()
    with pytest.raises(IntegrityError, match="has no file"):
        asyncio.run(case.world.loader.load(Found(found.ref, found.folder)))
    with pytest.raises(IntegrityError, match="has no file"):
        asyncio.run(case.world.loader.digest(Found(found.ref, found.folder)))


def test_an_unknown_runtime_is_refused(tmp_path: Path) -> None:
    case = packaged(tmp_path)
    case.runtime.name = "renamed"
    case.refused(UnrecognisedArtifact, "no runtime is called 'fake'")


def test_golden_examples_that_are_not_met_are_refused(tmp_path: Path) -> None:
    packaged(tmp_path, Golden([1.0, 2.0], 6.5)).refused(GoldenMismatch, "must give 6.5, the model gave 6.0")


def test_golden_examples_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    packaged(tmp_path, Golden([1.0], 6.0)).refused(GoldenMismatch, "not what the signature takes")


def overwrite(path: Path) -> None:
    path.write_bytes(b"3")


def test_a_file_swapped_while_it_is_loaded_is_refused(tmp_path: Path) -> None:
    case = packaged(tmp_path, on_load=overwrite)
    case.refused(IntegrityError, "was changed while it was being loaded")
    assert len(case.runtime.loaded) == 1


def raising(error: BaseException) -> Callable[[Any], Any]:
    def respond(_: Any) -> Any:
        raise error

    return respond


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_a_library_that_raises_while_loading_is_load_failed(tmp_path: Path, error: BaseException) -> None:
    packaged(tmp_path, on_load=raising(error)).refused(LoadFailed, f"loading the model raised {type(error).__name__}")


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1), KeyboardInterrupt(), StopIteration()], ids=repr)
def test_a_model_that_raises_on_its_own_golden_examples_is_refused(tmp_path: Path, error: BaseException) -> None:
    case = packaged(tmp_path, Golden([1.0, 2.0], 6.0), respond=raising(error))
    case.refused(LoadFailed, f"trying the model raised {type(error).__name__}")


def outputs(values: Any) -> Callable[[Inputs], Outputs]:
    return lambda inputs: Outputs(Output("regression"), values=np.resize(np.array(values), inputs.count))


@pytest.mark.parametrize("golden", [(), (Golden([1.0, 2.0], 6.0),)], ids=["made up", "golden"])
def test_a_model_that_answers_nan_is_not_promoted(tmp_path: Path, golden: tuple[Golden, ...]) -> None:
    packaged(tmp_path, *golden, respond=outputs([np.nan])).refused(LoadFailed, "answered NaN")


def test_a_model_that_answers_for_too_many_rows_is_not_promoted(tmp_path: Path) -> None:
    case = packaged(tmp_path, respond=lambda _: Outputs(Output("regression"), values=np.ones(9)))
    case.refused(LoadFailed, "answers of shape")


def loader(case: Case, prepare: Any = fake_prepare, decoders: Any = lambda _: {}) -> Loader:
    return Loader(open_files=case.world.open, get_runtime=case.world.get_runtime, prepare=prepare, decoders=decoders)


def test_a_model_may_refuse_rows_that_were_guessed_which_are_no_example_then(tmp_path: Path) -> None:
    told: list[bool] = []

    async def prepare(model: Model, inputs: Inputs, options: ExecutionOptions, refused: bool) -> tuple[Executor, Costs]:
        told.append(refused)
        return await fake_prepare(model)

    case = packaged(tmp_path, signature=CATEGORY, respond=raising(ValueError("unknown category 'text'")))
    servable = case.load(loader(case, prepare))
    assert (servable.state, servable.example, told) == (State.READY, None, [True])


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(1)], ids=repr)
def test_a_model_that_fails_while_it_is_measured_is_refused(tmp_path: Path, error: BaseException) -> None:
    async def prepare(model: Model, inputs: Inputs, options: ExecutionOptions, refused: bool) -> tuple[Executor, Costs]:
        raise error

    case = packaged(tmp_path)
    case.refused(LoadFailed, f"measuring the model raised {type(error).__name__}", loader(case, prepare))


def test_what_cannot_be_described_is_refused_and_its_executor_closed(tmp_path: Path) -> None:
    opened: list[FakeExecutor] = []

    async def prepare(model: Model, inputs: Inputs, options: ExecutionOptions, refused: bool) -> tuple[Executor, Costs]:
        executor, costs = await fake_prepare(model, inputs, options, refused)
        assert isinstance(executor, FakeExecutor)
        opened.append(executor)
        return executor, costs

    def decoders(signature: Signature) -> Mapping[str, Decoders]:
        raise ValueError("unbalanced parenthesis")

    case = packaged(tmp_path)
    case.refused(LoadFailed, "describing the model raised ValueError", loader(case, prepare, decoders))
    assert [executor.closed for executor in opened] == [1]


def test_a_model_that_fails_to_close_as_well_is_refused_with_the_first_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = packaged(tmp_path, Golden([1.0, 2.0], 6.5))

    def close(_: object) -> None:
        raise OSError("busy")

    monkeypatch.setattr("foretell.testing.FakeModel.close", close)
    with pytest.raises(GoldenMismatch):
        case.load()


def test_the_recognised_runtime_loads_what_has_no_manifest(tmp_path: Path) -> None:
    write_bare(tmp_path / "iris" / "v1")
    found = Case(tmp_path).found()
    assert found.recognition == Recognition("fake", "its name ends in .fake")


def test_the_digest_is_that_of_what_lies_there_now(tmp_path: Path) -> None:
    case = packaged(tmp_path)
    found = case.found()
    assert found.manifest is not None
    assert asyncio.run(case.world.loader.digest(found)) == found.manifest.digest
    (tmp_path / "iris" / "v1" / "model.fake").write_bytes(b"3")
    with pytest.raises(IntegrityError):
        asyncio.run(case.world.loader.digest(found))
