"""ONNX: what the file says is read with care, and every kind of graph is fed and answered rightly."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.values import Matrix, Table, Tensors
from foretell.errors import LoadFailed, MissingLibrary, SignatureMissing, UntrustedArtifact
from foretell.runtimes.base import LoadOptions
from foretell.runtimes.onnx import runtime
from foretell.runtimes.onnx.graph import class_labels, external_locations
from foretell.runtimes.onnx.protobuf import MessageError, fields, signed, varints
from tests import zoo

FLOAT, INT64, STRING, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL


def value(name: str, kind: int, shape: Sequence[int | str | None]) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def model_of(nodes: Any, inputs: Any, outputs: Any, initializers: Any = ()) -> Any:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="test")


def load(model: Any, folder: Path, signature: Signature | None = None) -> Any:
    path = folder / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return runtime.load(path, signature, LoadOptions())


def softmax(rows: int | str = "N") -> Any:
    weights = numpy_helper.from_array(np.array([[1.0, -1.0, 0.0], [0.5, 0.0, 2.0]], dtype=np.float32), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"]), helper.make_node("Softmax", ["z"], ["p"])]
    return model_of(nodes, [value("x", FLOAT, [rows, 2])], [value("p", FLOAT, [rows, 3])], [weights])


ROWS = Matrix(np.array([[1.0, 2.0], [3.0, -1.0], [0.0, 0.5]]))


# -- the wire format ---------------------------------------------------------------------------------------------------


@given(st.binary(max_size=300))
def test_any_bytes_are_fields_or_malformed(content: bytes) -> None:
    try:
        found = list(fields(memoryview(content)))
    except MessageError:
        return
    assert all(number > 0 for number, _ in found)


@given(st.lists(st.integers(0, 2**64 - 1)), st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_read_as_protobuf_writes_them(numbers: list[int], one: int) -> None:
    assert list(varints(memoryview(b"".join(map(varint, numbers))))) == numbers
    (number, found), *_ = fields(memoryview(b"\x08" + varint(one % 2**64)))
    assert number == 1
    assert isinstance(found, int)
    assert signed(found) == one


def varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*made, number])


@pytest.mark.parametrize(
    "content",
    [b"\x0a\x05ab", b"\x0b", b"\x00", b"\x08" + b"\xff" * 10, b"\x0d\x00", b"\x09\x00", b"\x08"],
    ids=["short", "group", "number 0", "endless", "fixed32", "fixed64", "no value"],
)
def test_cut_off_and_unknown_fields_are_malformed(content: bytes) -> None:
    with pytest.raises(MessageError):
        list(fields(memoryview(content)))


def test_fixed_size_numbers_are_passed_over() -> None:
    found = list(fields(memoryview(b"\x0d\x01\x02\x03\x04\x11" + bytes(8))))
    assert [(number, bytes(part)) for number, part in found if not isinstance(part, int)] == [
        (1, b"\x01\x02\x03\x04"),
        (2, bytes(8)),
    ]


# -- files beside the model --------------------------------------------------------------------------------------------


def external(location: str) -> Any:
    tensor = TensorProto(name="w", data_type=FLOAT, dims=[2, 2], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    return model_of([node], [value("x", FLOAT, ["N", 2])], [value("y", FLOAT, ["N", 2])], [tensor])


def test_a_plain_file_beside_the_model_is_read(tmp_path: Path) -> None:
    np.array([[1.0, 0.0], [0.0, 2.0]], dtype=np.float32).tofile(tmp_path / "weights.bin")
    model = load(external("weights.bin"), tmp_path)
    assert model.predict(ROWS).listed.predictions[0] == [1.0, 4.0]


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../weights.bin", "sub/weights.bin", "..", ".", "", "a\\b", "a\0b"]
)
def test_a_file_elsewhere_is_refused(location: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedArtifact, match="not in its folder"):
        load(external(location), tmp_path)


def test_links_and_folders_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(16))
    (tmp_path / "soft").symlink_to(secret)
    with pytest.raises(UntrustedArtifact, match="a link"):
        load(external("soft"), tmp_path)
    os.link(secret, tmp_path / "hard")
    with pytest.raises(UntrustedArtifact, match="a link"):
        load(external("hard"), tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UntrustedArtifact, match="no ordinary file"):
        load(external("folder"), tmp_path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"weights\.bin"):
        load(external("weights.bin"), tmp_path)


def test_locations_are_found_wherever_a_tensor_can_stand() -> None:
    hidden = external("x").graph.initializer[0]
    inner = helper.make_graph([], "inner", [], [], [hidden])
    nodes = [
        helper.make_node("Constant", [], ["a"], value=hidden),
        helper.make_node("Made", [], ["b"], body=inner),
        helper.make_node("Made", [], ["c"], many=[inner, inner]),
        helper.make_node("Made", [], ["d"], tensors=[hidden]),
    ]
    sparse = onnx.SparseTensorProto(values=hidden, indices=hidden)
    nodes.append(helper.make_node("Constant", [], ["e"], sparse_value=sparse))
    model = model_of(nodes, [], [])
    model.graph.sparse_initializer.append(sparse)
    model.functions.append(onnx.FunctionProto(name="f", domain="d", node=[nodes[0]]))
    model.training_info.append(onnx.TrainingInfoProto(algorithm=inner, initialization=inner))
    found = external_locations(memoryview(model.SerializeToString()))
    assert found == ["x"] * 12


def test_messages_that_nest_for_ever_are_malformed() -> None:
    content = b""
    for _ in range(200):
        attribute = b"\x32" + varint(len(content)) + content  # attribute.g
        node = b"\x2a" + varint(len(attribute)) + attribute  # node.attribute
        content = b"\x0a" + varint(len(node)) + node  # graph.node
    with pytest.raises(MessageError, match="too deeply"):
        external_locations(memoryview(b"\x3a" + varint(len(content)) + content))


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "labels"),
    [("onnx-iris-logistic", (0, 1, 2)), ("onnx-maps", ("a", "b", "c")), ("onnx-regressor", None)],
)
def test_labels_are_read_from_the_graph(name: str, labels: Any, tmp_path: Path) -> None:
    content = zoo.specimen(name).write(tmp_path).read_bytes()
    assert class_labels(memoryview(content)) == labels


def test_the_mapping_of_labels_has_the_last_word() -> None:
    nodes = [
        helper.make_node("LinearClassifier", ["x"], ["l", "p"], classlabels_ints=[0, 1], coefficients=[1.0]),
        helper.make_node("ZipMap", ["p"], ["m"], classlabels_int64s=[7, -9]),
        helper.make_node("SVMClassifier", ["x"], ["l2", "p2"], kernel_type="LINEAR"),
    ]
    assert class_labels(memoryview(model_of(nodes, [], []).SerializeToString())) == (7, -9)
    assert class_labels(memoryview(b"\x38\x01")) is None


# -- shapes of graphs --------------------------------------------------------------------------------------------------


def test_a_network_of_scores_answers_with_the_best(tmp_path: Path) -> None:
    signature = Signature(
        (Column("a"), Column("b")), output=Output("classification", classes=("x", "y", "z"), probabilities=True)
    )
    outputs = load(softmax(), tmp_path, signature).predict(ROWS)
    assert outputs.listed.predictions == ["z", "x", "z"]
    assert outputs.probabilities is not None
    np.testing.assert_allclose(outputs.probabilities.sum(axis=1), 1, rtol=1e-6)
    without = Signature((Column("a"), Column("b")), output=Output("classification", classes=("x", "y", "z")))
    assert load(softmax(), tmp_path, without).predict(ROWS).probabilities is None


def test_a_single_score_is_the_second_class(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceSum", ["x", "axes"], ["z"]), helper.make_node("Sigmoid", ["z"], ["p"])]
    axes = numpy_helper.from_array(np.array([1]), "axes")
    model = model_of(nodes, [value("x", FLOAT, ["N", 2])], [value("p", FLOAT, ["N", 1])], [axes])
    output = Output("classification", classes=(False, True), probabilities=True)
    outputs = load(model, tmp_path, Signature((Column("a"), Column("b")), output=output)).predict(ROWS)
    assert outputs.listed.predictions == [True, True, True]
    assert outputs.probabilities is not None
    assert outputs.probabilities.shape == (3, 2)


def test_a_graph_for_single_rows_is_run_row_by_row(tmp_path: Path) -> None:
    model = load(softmax(rows=1), tmp_path)
    whole = load(softmax(), tmp_path).predict(ROWS)
    assert len(model.signature.columns) == 2
    np.testing.assert_allclose(model.predict(ROWS).values, whole.values, rtol=1e-6)
    assert model.predict(ROWS.part(1, 2)).count == 1


def test_several_inputs_of_one_column_are_named_columns(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["n"], ["nf"], to=FLOAT),
        helper.make_node("Cast", ["b"], ["bf"], to=FLOAT),
        helper.make_node("Sum", ["x", "nf", "bf"], ["y"]),
    ]
    inputs = [value("x", FLOAT, ["N", 1]), value("n", INT64, ["N", 1]), value("b", BOOL, ["N", 1])]
    model = load(model_of(nodes, inputs, [value("y", FLOAT, ["N", 1])]), tmp_path)
    kinds = (ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN)
    assert tuple(column.type for column in model.signature.columns) == kinds
    assert model.signature.named
    assert model.predict(Matrix(np.array([[1.5, 2, 1], [0.5, 0, 0]]))).listed.predictions == [4.5, 0.5]


def test_a_manifest_may_name_the_inputs_its_own_way(tmp_path: Path) -> None:
    nodes = [helper.make_node("Sub", ["x", "y"], ["z"])]
    inputs = [value("x", FLOAT, ["N", 1]), value("y", FLOAT, ["N", 1])]
    graph = model_of(nodes, inputs, [value("z", FLOAT, ["N", 1])])
    other = Signature((Column("first"), Column("second")))
    assert load(graph, tmp_path, other).predict(Matrix(np.array([[3.0, 1.0]]))).listed.predictions == [2.0]
    swapped = Signature((Column("y"), Column("x")))
    assert load(graph, tmp_path, swapped).predict(Matrix(np.array([[3.0, 1.0]]))).listed.predictions == [-2.0]


def test_a_matrix_of_texts_is_fed_as_texts(tmp_path: Path) -> None:
    nodes = [helper.make_node("Identity", ["s"], ["l"])]
    graph = model_of(nodes, [value("s", STRING, ["N", 1])], [value("l", STRING, ["N", 1])])
    model = load(graph, tmp_path)
    assert model.signature.columns == (Column("x0", ColumnType.STRING),)
    assert model.signature.output == Output("classification")
    outputs = model.predict(Table({"x0": np.array(["a", None], dtype=object)}))
    assert outputs.listed.predictions == ["a", ""]


def test_several_labels_a_row_are_lists(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["l"], to=INT64)]
    model = load(model_of(nodes, [value("x", FLOAT, ["N", 2])], [value("l", INT64, ["N", 2])]), tmp_path)
    assert model.signature.output == Output("classification", names=("y0", "y1"))
    assert model.predict(ROWS).listed.predictions == [[1, 2], [3, -1], [0, 0]]


def test_labels_alone_are_classes_without_probabilities(tmp_path: Path) -> None:
    nodes = [helper.make_node("ArgMax", ["x"], ["l"], axis=1, keepdims=0)]
    graph = model_of(nodes, [value("x", FLOAT, ["N", 2])], [value("l", INT64, ["N"])])
    assert load(graph, tmp_path).predict(ROWS).listed.predictions == [1, 0, 1]
    output = Output("classification", classes=(1, 0))
    manifest = Signature((Column("a"), Column("b")), output=output)
    assert load(graph, tmp_path, manifest).predict(ROWS).listed.predictions == [1, 0, 1]


def test_images_stay_tensors(tmp_path: Path) -> None:
    nodes = [helper.make_node("GlobalAveragePool", ["image"], ["mean"])]
    graph = model_of(nodes, [value("image", FLOAT, ["N", 3, 4, 4])], [value("mean", FLOAT, ["N", 3, 1, 1])])
    model = load(graph, tmp_path)
    assert model.signature.tensors == (Tensor("image", "float32", (-1, 3, 4, 4)),)
    assert model.signature.output.kind == "tensors"
    outputs = model.predict(Tensors({"image": np.ones((2, 3, 4, 4), dtype=np.float32)}))
    assert outputs.tensors is not None
    assert outputs.tensors["mean"].shape == (2, 3, 1, 1)
    assert load(graph, tmp_path, model.signature).signature == model.signature


@pytest.mark.parametrize("size", [1, 4])
def test_an_image_model_for_a_fixed_number_of_images_takes_any_number(size: int, tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["image"], ["out"])
    shape = (size, 3, 2, 2)
    graph = model_of([node], [value("image", FLOAT, shape)], [value("out", FLOAT, shape)])
    model = load(graph, tmp_path)
    for count in (1, 3, 4, 9):
        images = np.linspace(-1, 1, count * 12, dtype=np.float32).reshape(count, 3, 2, 2)
        outputs = model.predict(Tensors({"image": images}))
        assert outputs.count == count
        assert np.array_equal(outputs.tensors["out"], np.maximum(images, 0))


def test_tensors_in_and_one_number_out_stay_tensors(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[1, 2], keepdims=0)]
    model = load(model_of(nodes, [value("x", FLOAT, ["N", 2, 2])], [value("y", FLOAT, ["N"])]), tmp_path)
    assert model.signature.output.tensors == (Tensor("y", "float32", (-1,)),)


def test_what_is_no_tensor_is_refused(tmp_path: Path) -> None:
    info = helper.make_tensor_sequence_value_info("s", FLOAT, None)
    nodes = [helper.make_node("SequenceAt", ["s", "i"], ["y"])]
    graph = model_of(nodes, [info], [value("y", FLOAT, [1])], [numpy_helper.from_array(np.array(0), "i")])
    with pytest.raises(SignatureMissing, match="s is no tensor"):
        load(graph, tmp_path)


def test_a_number_too_large_for_float32_does_not_warn(tmp_path: Path) -> None:
    model = load(softmax(), tmp_path)
    assert model.predict(Matrix(np.array([[1e300, 0.0]]))).count == 1


# -- refusals ----------------------------------------------------------------------------------------------------------

TWO = (Column("a"), Column("b"))
CLASSES = Output("classification", classes=(0, 1, 2))


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (Signature((Column("a"),)), "1 columns, the graph takes 2"),
        (Signature(tensors=(Tensor("z", "float32", (-1, 2)),), output=Output("regression")), "the graph takes x"),
        (Signature(TWO, output=Output("classification")), "no output of labels"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(signature: Signature, message: str, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=message):
        load(softmax(), tmp_path, signature)


def test_a_manifest_with_another_number_of_inputs_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "y"], ["z"])]
    graph = model_of(nodes, [value("x", FLOAT, ["N", 1]), value("y", FLOAT, ["N", 1])], [value("z", FLOAT, ["N", 1])])
    with pytest.raises(LoadFailed, match="3 columns, the graph has 2 inputs"):
        load(graph, tmp_path, Signature((*TWO, Column("c"))))


def test_classes_without_any_output_to_take_them_from_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.UINT8)]
    graph = model_of(nodes, [value("x", FLOAT, ["N", 2])], [value("y", TensorProto.UINT8, ["N", 2])])
    with pytest.raises(LoadFailed, match="labels or probabilities"):
        load(graph, tmp_path, Signature(TWO, output=CLASSES))


@pytest.mark.parametrize("content", [b"", b"\x08", b"not a model at all", b"\x08\x08\x3a\xff\xff\xff\xff\x0flocation"])
def test_damaged_files_fail_to_load(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"cannot load model\.onnx"):
        load(content, tmp_path)


def test_recognition_by_name_and_by_content(tmp_path: Path) -> None:
    content = softmax().SerializeToString()
    for name, start, known in [
        ("a.onnx", content, True),
        ("b.bin", content, True),
        ("c.onnx", b"PK\x03\x04", False),
        ("d.onnx", b"", False),
        ("e.onnx", b"\x3a" + b"\xff" * 9, True),
        ("f.bin", b"\x3a\x01\x00", False),
    ]:
        path = tmp_path / name
        path.write_bytes(start)
        assert (runtime.recognise(path) is not None) is known, name
    assert runtime.recognise(tmp_path / "absent.onnx") is None


def test_without_onnxruntime_the_install_line_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingLibrary) as caught:
        load(softmax(), tmp_path)
    assert caught.value.hint == "pip install 'foretell[onnx]'"


def test_a_closed_model_predicts_no_more(tmp_path: Path) -> None:
    model = load(softmax(), tmp_path)
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.predict(ROWS)


def test_parameters_tell_where_a_model_comes_from(tmp_path: Path) -> None:
    graph = softmax()
    helper.set_model_props(graph, {"author": "someone"})
    assert load(graph, tmp_path).parameters == {"producer": "test", "graph": "g", "metadata": {"author": "someone"}}


# -- devices -----------------------------------------------------------------------------------------------------------


class FakeSessions:
    """Makes sessions that run on the processor, and records what they were asked to run on."""

    def __init__(self, runs_on: list[str]) -> None:
        self.runs_on = runs_on
        self.asked: list[Any] = []
        self._make = onnxruntime.InferenceSession

    def __call__(self, content: Any, options: Any, providers: list[Any], **_: Any) -> Any:
        self.asked = providers
        session = self._make(content, options, ["CPUExecutionProvider"])
        session.get_providers = lambda: self.runs_on
        return session


RELU = model_of([helper.make_node("Relu", ["x"], ["y"])], [value("x", FLOAT, ["N", 2])], [value("y", FLOAT, ["N", 2])])


def on(device: str, tmp_path: Path) -> Any:
    path = tmp_path / "model.onnx"
    path.write_bytes(RELU.SerializeToString())
    return runtime.load(path, None, LoadOptions(device=device))


def test_a_device_that_this_onnxruntime_has_not_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LoadFailed, match="device 'npu' is unknown"):
        on("npu", tmp_path)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(LoadFailed, match=r"cuda:0 is not there: this onnxruntime .* was built without CUDA") as caught:
        on("cuda:0", tmp_path)
    assert "onnxruntime-gpu" in (caught.value.hint or "")


def test_a_device_is_asked_for_by_its_number_and_must_have_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: both)
    sessions = FakeSessions(both)
    monkeypatch.setattr(onnxruntime, "InferenceSession", sessions)
    on("cuda:1", tmp_path)
    assert sessions.asked == [("CUDAExecutionProvider", {"device_id": 1}), "CPUExecutionProvider"]
    sessions.runs_on = ["CPUExecutionProvider"]
    with pytest.raises(LoadFailed, match="cuda is not there: onnxruntime could not start CUDA"):
        on("cuda", tmp_path)
    assert sessions.asked[0] == ("CUDAExecutionProvider", {"device_id": 0})


def test_a_graph_for_a_monstrous_number_of_rows_is_refused(tmp_path: Path) -> None:
    shape = [1 << 31, 2]
    node = helper.make_node("Relu", ["x"], ["y"])
    with pytest.raises(LoadFailed, match="takes 2,147,483,648 rows at a time"):
        load(model_of([node], [value("x", FLOAT, shape)], [value("y", FLOAT, shape)]), tmp_path)
