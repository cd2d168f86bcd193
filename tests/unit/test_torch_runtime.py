"""PyTorch programs: what they tell of themselves, what is asked of a manifest, devices, and what is refused."""

from __future__ import annotations

import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.values import Matrix, Tensors
from foretell.errors import ArtifactError, LoadFailed, MissingLibrary, SignatureMissing
from foretell.runtimes import registry
from foretell.runtimes.arrays import ArrayModel
from foretell.runtimes.base import CODE_RUNTIMES, LoadOptions, Trust, isolation_of
from foretell.runtimes.returned import WrongAnswer
from foretell.runtimes.torch import runtime

torch = pytest.importorskip("torch", reason="pip install 'foretell[torch]'")


class Scale(torch.nn.Module):  # type: ignore[misc,name-defined]
    """Two tensors in, the second by keyword; a dict out."""

    def forward(self, image: Any, *, scale: Any) -> Any:
        return {"scaled": image * scale[:, None], "top": image.argmax(1)}


class Twice(torch.nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, x: Any) -> Any:
        return x * 2


class Pair(torch.nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, x: Any) -> Any:
        return x * 2, x.sum(1)


class Nested(torch.nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, pair: Any) -> Any:
        return pair[0] + pair[1]


class Total(torch.nn.Module):  # type: ignore[misc,name-defined]
    def forward(self, x: Any) -> Any:
        return x.sum()


def exported(
    folder: Path, module: Any, arguments: Any, keywords: Any = None, dynamic: bool = True, name: str = "model.pt2"
) -> Path:
    rows = torch.export.Dim("rows")
    shapes: Any = None
    if dynamic:
        shapes = ({0: rows},) * len(arguments)
        shapes = (
            {**dict(zip(["image"], shapes, strict=False)), **{k: {0: rows} for k in keywords}} if keywords else shapes
        )
    path = folder / name
    torch.export.save(torch.export.export(module, arguments, keywords, dynamic_shapes=shapes), path)
    return path


def script(folder: Path, name: str = "model.pt") -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Twice(), (torch.zeros(2, 2),)).save(str(folder / name))
    return folder / name


def load(path: Path, signature: Signature | None = None, device: str = "cpu") -> ArrayModel:
    return runtime.load(path, signature, LoadOptions(device=device))


def refused(
    path: Path, kind: type[ArtifactError], words: str, signature: Signature | None = None, **options: Any
) -> None:
    with pytest.raises(ArtifactError, match=words) as caught:
        load(path, signature, **options)
    assert type(caught.value) is kind
    assert str(path.parent) not in caught.value.detail


def test_an_export_tells_its_tensors(tmp_path: Path) -> None:
    path = exported(tmp_path, Scale(), (torch.zeros(2, 3),), {"scale": torch.ones(2)})
    model = load(path)
    assert model.signature == Signature(
        tensors=(Tensor("image", "float32", (-1, 3)), Tensor("scale", "float32", (-1,))),
        output=Output("tensors", tensors=(Tensor("scaled", "float32", (-1, 3)), Tensor("top", "int64", (-1,)))),
    )
    assert (model.model_type, dict(model.parameters)["device"]) == ("PyTorch export", "cpu")
    image = np.array([[1, 2, 3], [6, 5, 4]], dtype=np.float32)
    image.flags.writeable = False
    outputs = model.predict(Tensors({"image": image, "scale": np.array([1, 2], dtype=np.float32)}))
    assert outputs.listed.predictions == [{"scaled": [1, 2, 3], "top": 2}, {"scaled": [12, 10, 8], "top": 0}]
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.predict(Tensors({"image": image, "scale": np.array([1, 2], dtype=np.float32)}))


def test_several_results_are_numbered(tmp_path: Path) -> None:
    model = load(exported(tmp_path, Pair(), (torch.zeros(2, 3),)))
    assert [tensor.name for tensor in model.signature.output.tensors] == ["output_0", "output_1"]
    rows = Tensors({"x": np.ones((1, 3), dtype=np.float32)})
    assert model.predict(rows).listed.predictions == [{"output_0": [2, 2, 2], "output_1": 3}]


@pytest.mark.parametrize("count", [1, 4, 5, 9])
def test_a_program_for_a_fixed_number_of_rows_takes_any(tmp_path: Path, count: int) -> None:
    model = load(exported(tmp_path, Twice(), (torch.zeros(4, 2),), dynamic=False))
    assert model.signature.tensors[0].shape == (4, 2)
    rows = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    assert model.predict(Tensors({"x": rows})).listed.predictions == (rows * 2).tolist()


NUMBERS = (Column("a"), Column("b"))


def columns(output: Output) -> Signature:
    return Signature(NUMBERS, output=output)


def test_a_manifest_makes_columns_of_a_matrix(tmp_path: Path) -> None:
    path = exported(tmp_path, Twice(), (torch.zeros(2, 2),))
    rows = Matrix(np.array([[0.125, 0.375], [0.25, 0.25]]))
    several = load(path, columns(Output("regression", names=("y0", "y1")))).predict(rows)
    assert several.listed.predictions == [[0.25, 0.75], [0.5, 0.5]]
    classes = Output("classification", classes=("no", "yes"))
    assert load(path, columns(classes)).predict(rows).listed.predictions == ["yes", "no"]
    shares = load(path, columns(Output("classification", classes=("no", "yes"), probabilities=True))).predict(rows)
    assert shares.listed.probabilities == [[0.25, 0.75], [0.5, 0.5]]


def test_a_single_score_is_that_of_the_second_class(tmp_path: Path) -> None:
    path = exported(tmp_path, torch.nn.Flatten(0), (torch.zeros(2, 1),))
    one = Signature((Column("a"),), output=Output("classification", classes=("no", "yes"), probabilities=True))
    outputs = load(path, one).predict(Matrix(np.array([[0.25], [0.75]])))
    assert outputs.listed.predictions == ["no", "yes"]
    assert outputs.listed.probabilities == [[0.75, 0.25], [0.25, 0.75]]


def test_answers_that_do_not_fit_are_explained(tmp_path: Path) -> None:
    rows = Matrix(np.zeros((3, 2)))
    path = exported(tmp_path, Twice(), (torch.zeros(2, 2),))
    with pytest.raises(WrongAnswer, match=r"scores of shape \(3, 2\) for 3 classes"):
        load(path, columns(Output("classification", classes=("a", "b", "c")))).predict(rows)
    path = exported(tmp_path, Pair(), (torch.zeros(2, 2),))
    with pytest.raises(WrongAnswer, match="gives output_0, output_1, its signature one regression"):
        load(path, columns(Output("regression"))).predict(rows)


def test_torchscript_learns_its_types_from_the_manifest(tmp_path: Path) -> None:
    path = script(tmp_path)
    refused(path, SignatureMissing, "does not tell the shapes and types")
    signature = Signature(
        tensors=(Tensor("x", "float32", (-1, 2)),), output=Output("tensors", tensors=(Tensor("y", "float32", (-1, 2)),))
    )
    model = load(path, signature)
    assert model.model_type == "TorchScript"
    rows = Tensors({"x": np.array([[1, 2]], dtype=np.float32)})
    assert list(model.predict(rows).tensors or {}) == ["y"]
    unnamed = load(path, Signature(tensors=signature.tensors, output=Output("tensors")))
    assert list(unnamed.predict(rows).tensors or {}) == ["output"]
    assert load(path, columns(Output("regression", names=("y0", "y1")))).predict(
        Matrix(np.array([[1.0, 2.0]]))
    ).listed.predictions == [[2.0, 4.0]]


def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = exported(tmp_path, Twice(), (torch.zeros(2, 2),))
    three = Signature((*NUMBERS, Column("c")))
    refused(path, LoadFailed, "has 3 columns, the model takes 2", three)
    refused(path, LoadFailed, "columns that are no numbers", Signature((Column("a"), Column("b", ColumnType.STRING))))

    def tensor(name: str, dtype: str, shape: tuple[int, ...]) -> Signature:
        return Signature(tensors=(Tensor(name, dtype, shape),), output=Output("tensors"))

    refused(path, LoadFailed, "takes x, the signature has y", tensor("y", "float32", (-1, 2)))
    refused(path, LoadFailed, "is int64 of 2 axes in the signature, float32 of 2", tensor("x", "int64", (-1, 2)))
    refused(path, LoadFailed, "float32 of 3 axes", tensor("x", "float32", (-1, 2, 1)))
    image = exported(tmp_path, Twice(), (torch.zeros(2, 2, 2),))
    refused(image, LoadFailed, "does not take one matrix", Signature(NUMBERS))


def test_what_takes_or_gives_no_rows_is_refused(tmp_path: Path) -> None:
    one = torch.zeros(2, 2)
    refused(exported(tmp_path, Nested(), ((one, one),), dynamic=False), LoadFailed, "takes tuples, lists or dicts")
    refused(exported(tmp_path, Total(), (one,)), SignatureMissing, "output is a single number without an axis")
    complex_ = torch.zeros(2, 2, dtype=torch.complex64)
    refused(exported(tmp_path, Twice(), (complex_,)), LoadFailed, "x of the program is complex64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.Identity()).save(tmp_path / "whole.pt")
    assert (
        load(tmp_path / "whole.pt", Signature(tensors=(Tensor("input", "float32", (-1,)),))).model_type == "TorchScript"
    )


def test_devices_that_are_not_there_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = exported(tmp_path, Twice(), (torch.zeros(2, 2),))
    refused(path, LoadFailed, "device 'tpu' is unknown", device="tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:0"):
        refused(path, LoadFailed, f"device {device} is not there: PyTorch .* sees CUDA devices: 0", device=device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    refused(path, LoadFailed, "cuda:3 is not there: PyTorch .* sees CUDA devices: 1", device="cuda:3")


def test_a_program_goes_to_the_device_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On torch's device «meta», which computes shapes without values: a GPU is not needed to see that all has moved."""
    from foretell.runtimes import torch as module

    monkeypatch.setattr(module, "_device", lambda *_: torch.device("meta"))
    model = load(exported(tmp_path, torch.nn.Linear(2, 1), (torch.zeros(2, 2),)))
    assert dict(model.parameters)["device"] == "meta"
    with pytest.raises(NotImplementedError, match="meta"):
        model.predict(Tensors({"input": np.ones((1, 2), dtype=np.float32)}))


def test_weights_alone_are_refused_with_the_way_to_go(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pt")
    refused(tmp_path / "model.pt", LoadFailed, "model.pt holds weights alone, which says nothing of how to compute")
    with zipfile.ZipFile(tmp_path / "empty.pt", "w"):
        pass
    refused(tmp_path / "empty.pt", LoadFailed, "holds no program, which says nothing")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = exported(tmp_path, Twice(), (torch.zeros(2, 2),))
    for size in (3, 4, 100, path.stat().st_size // 2):
        cut = tmp_path / "cut.pt2"
        cut.write_bytes(path.read_bytes()[:size])
        refused(cut, LoadFailed, "PyTorch cannot load cut.pt2")
        runtime.recognise(cut)


def test_programs_are_recognised_as_code(tmp_path: Path) -> None:
    for path in (exported(tmp_path, Twice(), (torch.zeros(2, 2),)), script(tmp_path)):
        for shown in (path, path.with_suffix(f"{path.suffix}.bin")):
            found = registry.recognise(path.rename(shown) if shown != path else path)
            assert found is not None
            assert (found.runtime, found.trust) == ("torch", Trust.CODE)
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", b"")
    assert runtime.recognise(tmp_path / "x.npz") is None
    assert runtime.recognise(tmp_path / "absent.pt2") is None
    (tmp_path / "text.pt").write_text("not a zip")
    assert runtime.recognise(tmp_path / "text.pt") is None
    (tmp_path / "half.pt").write_bytes(b"PK\x03\x04 and no more")
    assert runtime.recognise(tmp_path / "half.pt") is not None
    assert "torch" in CODE_RUNTIMES
    assert isolation_of(registry.get("torch")) == "prefer_hosted"


def test_a_missing_library_is_told_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingLibrary) as caught:
        load(tmp_path / "model.pt2")
    assert (caught.value.hint or "").startswith("pip install 'foretell[torch]'")
