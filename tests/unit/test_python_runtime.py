"""``model.py``: what a class may look like, what it is told where it may not, and that nothing of it stays behind."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest

from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.values import Inputs, Matrix, Outputs, Table, Tensors
from foretell.errors import ArtifactError, LoadFailed, MissingLibrary, SignatureMissing
from foretell.runtimes import registry
from foretell.runtimes.base import LoadOptions, Trust, isolation_of
from foretell.runtimes.python import PythonModel, describe, runtime
from foretell.runtimes.returned import WrongAnswer

HEAD = """
import numpy as np
from datetime import datetime
from pathlib import Path
from typing import Literal, Optional
"""


def write(folder: Path, body: str) -> Path:
    path = folder / "model.py"
    path.write_text(HEAD + dedent(body))
    return path


def load(folder: Path, body: str, signature: Signature | None = None, device: str = "cpu") -> PythonModel:
    return runtime.load(write(folder, body), signature, LoadOptions(device=device))


def refused(folder: Path, body: str, kind: type[ArtifactError], words: str, signature: Signature | None = None) -> None:
    modules, paths = dict(sys.modules), list(sys.path)
    with pytest.raises(ArtifactError, match=words) as caught:
        load(folder, body, signature)
    assert type(caught.value) is kind
    assert str(folder) not in caught.value.detail
    assert "\n" not in caught.value.detail
    assert not any(name.startswith("foretell_model_") for name in sys.modules.keys() - modules.keys())
    assert sys.path == paths


def predicting(signature: str, body: str = "return a") -> str:
    return f"class M:\n    def predict(self, {signature}:\n        {body}\n"


def table(**columns: Any) -> Table:
    return Table({name: np.array(values) for name, values in columns.items()})


def ask(folder: Path, arguments: str, body: str, inputs: Inputs, signature: Signature | None = None) -> Outputs:
    return load(folder, predicting(arguments, body), signature).predict(inputs)


def numbers(*values: float) -> Matrix:
    return Matrix(np.array(values, dtype=np.float64)[:, None])


# -- the signature -----------------------------------------------------------------------------------------------------


def test_parameters_are_columns(tmp_path: Path) -> None:
    arguments = (
        "a: float, b: int, c: bool, d: str, e: datetime, f: Literal['x', 'y'], g: float | None, "
        "h: Optional[Literal['x']], *, i: str | None = None) -> float"
    )
    assert describe(write(tmp_path, predicting(arguments))) == Signature(
        (
            Column("a"),
            Column("b", ColumnType.INTEGER),
            Column("c", ColumnType.BOOLEAN),
            Column("d", ColumnType.STRING),
            Column("e", ColumnType.DATETIME),
            Column("f", ColumnType.CATEGORY, categories=("x", "y"), closed=True),
            Column("g", nullable=True),
            Column("h", ColumnType.CATEGORY, nullable=True, categories=("x",), closed=True),
            Column("i", ColumnType.STRING, nullable=True),
        ),
        output=Output("regression"),
    )


@pytest.mark.parametrize(
    ("annotation", "output"),
    [
        ("float", Output("regression")),
        ("int", Output("classification")),
        ("str", Output("classification")),
        ("bool", Output("classification")),
        ("Literal['no', 'yes']", Output("classification", classes=("no", "yes"))),
        ("Literal[0, 1]", Output("classification", classes=(0, 1))),
        ("dict[Literal[0, 1], float]", Output("classification", classes=(0, 1), probabilities=True)),
        ("tuple[float, float]", Output("regression", names=("y0", "y1"))),
    ],
)
@pytest.mark.parametrize("postponed", [False, True])
def test_the_return_annotation_is_the_output(tmp_path: Path, annotation: str, output: Output, postponed: bool) -> None:
    future = "from __future__ import annotations\n" if postponed else ""
    path = tmp_path / "model.py"
    path.write_text(future + HEAD + predicting(f"a: float) -> {annotation}"))
    assert describe(path).output == output


def test_describing_makes_no_instance(tmp_path: Path) -> None:
    made = (
        "class M:\n    def __init__(self):\n        raise RuntimeError\n    def predict(self, a: float) -> float: ..."
    )
    assert describe(write(tmp_path, made)).names == ("a",)


# -- what is refused, and how ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("x = 1", LoadFailed, r"model.py defines no class: it needs one with a predict method"),
        ("class M: ...", LoadFailed, r"class M in model.py has no predict"),
        (predicting("a: float) -> float") + "class N(M): ...", LoadFailed, r"2 classes with predict: M, N"),
        (predicting("a) -> float"), SignatureMissing, r"does not say what 'a' is"),
        (predicting("a: np.ndarray) -> float"), SignatureMissing, r"'a' in predict of M is annotated ndarray"),
        (predicting("a: list[float]) -> float"), SignatureMissing, r"is annotated list\[float\]"),
        (predicting("a: Literal[1, 2]) -> float"), SignatureMissing, r"annotate it with what one cell holds"),
        (predicting("a: float | str) -> float"), SignatureMissing, r"annotate it with what one cell holds"),
        (predicting("a: float)"), SignatureMissing, r"does not say what it answers for one row: -> float, int"),
        (predicting("a: float) -> np.ndarray"), SignatureMissing, r"annotated -> ndarray"),
        (predicting("a: float) -> dict[str, float]"), SignatureMissing, r"annotated -> dict\[str, float\]"),
        (predicting("a: float) -> Literal[None]"), SignatureMissing, r"must be texts, numbers or booleans"),
        (predicting("a: float = 1.0) -> float"), LoadFailed, r"'a' in predict of M has a default"),
        (predicting("a: 'Absent') -> float"), LoadFailed, r"annotations of predict of M cannot be read: NameError"),
        (predicting("*a: float) -> float"), LoadFailed, r"takes \*a: float"),
        (predicting("a: float, /) -> float"), LoadFailed, r"columns with names of their own"),
        (predicting(") -> float"), LoadFailed, r"takes nothing"),
        ("class M:\n  async def predict(self, a: float) -> float: ...", LoadFailed, r"predict of M is async"),
        (predicting("inputs) -> float"), SignatureMissing, r"a manifest must say which there are"),
        ("class M(:\n  pass", LoadFailed, r"model.py, line 6: invalid syntax"),
        ("import no_such_module_here", MissingLibrary, r"model.py needs the module 'no_such_module_here'"),
        ("1 / 0", LoadFailed, r"it raised ZeroDivisionError \(model.py, line 6\): division by zero"),
        ("raise SystemExit(3)", LoadFailed, r"it raised SystemExit \(model.py, line 6\): 3"),
        (
            "class M:\n  def __init__(self, x): ...\n  def predict(self, a: float) -> float: ...",
            LoadFailed,
            r"M in model.py wants x to be made",
        ),
        (
            "class M:\n  def load(self, folder): raise OSError('gone')\n  def predict(self, a: float) -> float: ...",
            LoadFailed,
            r"load of M raised OSError \(model.py, line 7\): gone",
        ),
        (
            "class M:\n  def load(self): ...\n  def predict(self, a: float) -> float: ...",
            LoadFailed,
            r"load of M takes nothing, not the folder",
        ),
    ],
)
def test_what_cannot_be_served_is_explained(tmp_path: Path, body: str, kind: type[ArtifactError], words: str) -> None:
    refused(tmp_path, body, kind, words)


def test_a_manifest_and_the_parameters_must_agree(tmp_path: Path) -> None:
    refused(tmp_path, predicting("b: float) -> float"), LoadFailed, "takes b, the signature has the columns a", ONE)
    tensors = Signature(tensors=(Tensor("image", "uint8", (-1, 2)),), output=Output("tensors"))
    refused(tmp_path, predicting("b: float) -> float"), LoadFailed, "takes b, the signature has the tensors", tensors)


# -- rows in -----------------------------------------------------------------------------------------------------------

ONE = Signature((Column("a"),))
MIXED = Signature((Column("odd name", ColumnType.INTEGER), Column("text", ColumnType.STRING, nullable=True)))


def test_columns_arrive_as_arrays_of_their_own_types(tmp_path: Path) -> None:
    kinds = "{'a': 'float64', 'b': 'int64', 'c': 'bool', 'd': 'float64'}"
    body = f"assert {{k: str(v.dtype) for k, v in dict(a=a, b=b, c=c, d=d).items()}} == {kinds}; return a + b + c"
    outputs = ask(
        tmp_path,
        "d: int | None, c: bool, b: int, a: float) -> float",
        body,
        Matrix(np.array([[np.nan, 1.0, 2.0, 0.5], [3.0, 0.0, 4.0, 0.25]])),
    )
    assert outputs.listed.predictions == [3.5, 4.25]


def test_a_class_cannot_change_what_it_was_handed(tmp_path: Path) -> None:
    model = load(tmp_path, predicting("a: float, b: str) -> float", "a[0] = 7.0; return a"))
    inputs = table(a=[1.0], b=["x"])
    with pytest.raises(ValueError, match="read-only"):
        model.predict(inputs)
    assert inputs.columns["a"].tolist() == [1.0]


def test_columns_of_any_name_come_as_a_mapping(tmp_path: Path) -> None:
    body = "return inputs['odd name'] + [len(t or '') for t in inputs['text']]"
    inputs = Table({"odd name": np.array([1, 2]), "text": np.array(["abc", None], dtype=object)})
    assert ask(tmp_path, "inputs)", body, inputs, MIXED).listed.predictions == [4.0, 2.0]


def test_a_matrix_can_come_as_a_mapping_too(tmp_path: Path) -> None:
    assert ask(tmp_path, "inputs)", "return inputs['a'] * 2", numbers(1.0, 2.0), ONE).listed.predictions == [2.0, 4.0]


TENSORS = Signature(
    tensors=(Tensor("image", "uint8", (-1, 2)), Tensor("scale", "float32", (-1,))),
    output=Output("tensors", tensors=(Tensor("mean", "float32", (-1,)), Tensor("double", "int64", (-1, 2)))),
)
IMAGES = Tensors({"image": np.array([[1, 3]], dtype=np.uint8), "scale": np.array([2.0], dtype=np.float32)})


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ("image, scale)", "return {'mean': image.mean(axis=1) * scale, 'double': image * 2}"),
        ("inputs)", "return {'mean': inputs['image'].mean(axis=1) * 2, 'double': inputs['image'] * 2}"),
    ],
)
def test_tensors_in_and_out(tmp_path: Path, arguments: str, body: str) -> None:
    outputs = ask(tmp_path, arguments, body, IMAGES, TENSORS)
    assert outputs.listed.predictions == [{"mean": 4.0, "double": [2, 6]}]
    assert {name: str(array.dtype) for name, array in (outputs.tensors or {}).items()} == {
        "mean": "float32",
        "double": "int64",
    }


def test_one_tensor_out_needs_no_name(tmp_path: Path) -> None:
    signature = Signature(tensors=(Tensor("image", "uint8", (-1, 2)),), output=Output("tensors"))
    image = Tensors({"image": IMAGES.arrays["image"]})
    assert ask(tmp_path, "image)", "return image * 1.5", image, signature).listed.predictions == [[1.5, 4.5]]


# -- answers out -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "returned", "predictions"),
    [
        ("float", "a", [0.0, 1.0]),
        ("float", "a[:, None]", [0.0, 1.0]),
        ("float", "[True, False]", [1.0, 0.0]),
        ("float", "{'prediction': a}", [0.0, 1.0]),
        ("int", "a.astype(int)", [0, 1]),
        ("str", "['no', 'yes']", ["no", "yes"]),
        ("bool", "a > 0", [False, True]),
        ("str", "np.array(['no', 'yes'], dtype=object)", ["no", "yes"]),
        ("Literal['no', 'yes']", "np.where(a > 0, 'yes', 'no')", ["no", "yes"]),
        ("Literal[0, 1]", "a", [0, 1]),
        ("Literal[False, True]", "a > 0", [False, True]),
        ("tuple[float, float]", "np.stack([a, -a], axis=1)", [[0.0, 0.0], [1.0, -1.0]]),
    ],
)
def test_answers_of_every_kind(tmp_path: Path, annotation: str, returned: str, predictions: list[Any]) -> None:
    outputs = ask(tmp_path, f"a: float) -> {annotation}", f"return {returned}", numbers(0.0, 1.0))
    assert outputs.listed.predictions == predictions
    assert [type(value) for value in outputs.listed.predictions] == [type(value) for value in predictions]


@pytest.mark.parametrize(
    ("returned", "indices"),
    [
        ("np.stack([1 - a, a], axis=1)", [0, 1]),
        ("{'probabilities': np.stack([1 - a, a], axis=1)}", [0, 1]),
        ("{'prediction': ['yes', 'yes'], 'probabilities': np.stack([1 - a, a], axis=1)}", [1, 1]),
    ],
)
def test_probabilities_alone_or_with_the_prediction(tmp_path: Path, returned: str, indices: list[int]) -> None:
    arguments = "a: float) -> dict[Literal['no', 'yes'], float]"
    outputs = ask(tmp_path, arguments, f"return {returned}", numbers(0.25, 0.75))
    assert outputs.indices is not None
    assert outputs.indices.tolist() == indices
    assert outputs.probabilities is not None
    assert outputs.probabilities.tolist() == [[0.75, 0.25], [0.25, 0.75]]


CLASSES = "dict[Literal['no', 'yes'], float]"


@pytest.mark.parametrize(
    ("annotation", "returned", "words"),
    [
        ("float", "None", "returned nothing"),
        ("float", "1.0", "returned one float: it gets arrays of all rows"),
        ("float", "a[:1]", "returned 1 entries for 2 rows"),
        ("float", "[[1], [2, 3]]", "lists of different lengths"),
        ("float", "['x', 'y']", "not numbers"),
        ("float", "np.zeros((2, 2))", r"an array of shape \(2, 2\), not \(2,\)"),
        ("float", "a.astype('datetime64[s]')", r"datetime64\[s\], which no answer can hold"),
        ("float", "{'prediction': a, 'score': a}", "a dict with score"),
        ("float", "{}", "a dict with nothing"),
        ("float", "{'probabilities': a}", "probabilities, which its signature does not promise"),
        ("str", "np.array([None, 'x'], dtype=object)", "neither texts, numbers nor booleans"),
        ("Literal['no', 'yes']", "['no', 'maybe']", "answered 'maybe', which is none of its classes: 'no', 'yes'"),
        ("Literal[0, 1]", "a > 0", "answered 'False', which is none"),
        ("Literal['no', 'yes']", "np.zeros((2, 2))", r"classes of shape \(2, 2\)"),
        ("tuple[float, float]", "a", r"shape \(2,\), not \(2, 2\)"),
        (CLASSES, "['no', 'yes']", "returned no probabilities"),
        (CLASSES, "{'prediction': ['no', 'yes']}", "returned no probabilities"),
        (CLASSES, "{'probabilities': a}", r"have shape \(2,\)"),
        (CLASSES, "np.array([['a', 'b'], ['c', 'd']])", "one column a class"),
    ],
)
def test_a_wrong_answer_is_explained(tmp_path: Path, annotation: str, returned: str, words: str) -> None:
    model = load(tmp_path, predicting(f"a: float) -> {annotation}", f"return {returned}"))
    with pytest.raises(WrongAnswer, match=words):
        model.predict(numbers(0.0, 1.0))


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        ("image", "returned one array, its signature promises double, mean"),
        ("{'mean': scale}", "returned the tensors mean, its signature promises double, mean"),
        ("{'mean': scale, 'double': image * 0.5}", "tensor double of type float"),
        ("{'mean': scale, 'double': np.array([['a', 'b']])}", "tensor double of type <U1"),
    ],
)
def test_wrong_tensors_are_explained(tmp_path: Path, returned: str, words: str) -> None:
    model = load(tmp_path, predicting("image, scale)", f"return {returned}"), TENSORS)
    with pytest.raises(WrongAnswer, match=words):
        model.predict(IMAGES)


# -- the file and its folder -------------------------------------------------------------------------------------------


def test_the_class_finds_its_files_and_modules_beside_it(tmp_path: Path) -> None:
    (tmp_path / "factor.txt").write_text("3")
    (tmp_path / "beside_model.py").write_text("def double(a):\n    return a * 2\n")
    body = """
    from beside_model import double

    class M:
        "Doubles, and then some.\\n\\nMore."
        def load(self, folder: Path) -> None:
            self.folder = folder

        def predict(self, a: float) -> float:
            return double(a) * float((self.folder / "factor.txt").read_text())
    """
    paths = list(sys.path)
    model = load(tmp_path, body)
    assert model.predict(numbers(1.0, 2.0)).listed.predictions == [6.0, 12.0]
    assert (model.model_type, dict(model.parameters)) == ("M", {"description": "Doubles, and then some."})
    model.close()
    assert sys.path == paths
    assert "beside_model" not in sys.modules
    assert sorted(item.name for item in tmp_path.iterdir()) == ["beside_model.py", "factor.txt", "model.py"]
    with pytest.raises(RuntimeError, match="closed"):
        model.predict(numbers(1.0))


def test_two_versions_do_not_share_modules(tmp_path: Path) -> None:
    answers = []
    for version in ("1", "2"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "beside_model.py").write_text(f"FACTOR = {version}\n")
        model = load(
            folder, "from beside_model import FACTOR\n" + predicting("a: float) -> float", "return a * FACTOR")
        )
        answers += model.predict(numbers(1.0)).listed.predictions
        model.close()
    assert answers == [1.0, 2.0]


def test_a_class_that_closes_is_closed_once(tmp_path: Path) -> None:
    model = load(
        tmp_path,
        """
        class M:
            def predict(self, a: float) -> float:
                return a
            def close(self):
                with Path(__file__).with_name("closed").open("a") as file:
                    file.write("x")
        """,
    )
    model.close()
    model.close()
    assert (tmp_path / "closed").read_text() == "x"


def test_calls_are_made_one_at_a_time(tmp_path: Path) -> None:
    body = """
    class M:
        inside = 0
        def predict(self, a: float) -> float:
            assert M.inside == 0
            M.inside += 1
            M.inside -= 1
            return a
    """
    model = load(tmp_path, body)
    started = threading.Barrier(4)

    def call(value: float) -> list[Any]:
        started.wait()
        return [model.predict(numbers(value)).listed.predictions for _ in range(200)]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(call, [1.0, 2.0, 3.0, 4.0]))
    assert answers == [[[value]] * 200 for value in (1.0, 2.0, 3.0, 4.0)]


def test_the_device_goes_to_load(tmp_path: Path) -> None:
    takes = """
    class M:
        def load(self, folder, device): self.device = device
        def predict(self, a: float) -> str: return [self.device] * len(a)
    """
    assert load(tmp_path, takes, device="cuda:0").predict(numbers(1.0)).listed.predictions == ["cuda:0"]
    for body in (predicting("a: float) -> float"), takes.replace(", device)", ")").replace("= device", "= 1")):
        with pytest.raises(LoadFailed, match="the device is 'cuda:0', but"):
            load(tmp_path, body, device="cuda:0")


@pytest.mark.parametrize(
    ("name", "text", "known"),
    [
        ("model.py", b"class M:\n    def predict(self): ...", True),
        ("Model.py", b"class M:\n    def predict(self): ...", False),
        ("train.py", b"class M:\n    def predict(self): ...", False),
        ("model.py", b"def predict(x): ...", False),
        ("model.py", b"class M: ...", False),
        ("model.py", b"class M:\n    def predict(self): ...\0", False),
        ("model.py", b"", False),
    ],
)
def test_recognition_runs_nothing(tmp_path: Path, name: str, text: bytes, known: bool) -> None:
    path = tmp_path / name
    path.write_bytes(text + b"\nraise SystemExit" if known else text)
    found = registry.recognise(path)
    assert (found is not None) is known
    assert found is None or (found.runtime, found.trust) == ("python", Trust.SOURCE)
    assert runtime.recognise(tmp_path / "absent" / "model.py") is None


def test_python_models_are_always_hosted() -> None:
    assert isolation_of(registry.get("python")) == "hosted"


@pytest.mark.parametrize("name", ["python", "pickle", "torch", "litert", "onnx", "sklearn", "xgboost", "lightgbm"])
def test_a_foreign_environment_needs_only_numpy(name: str) -> None:
    """The runner imports these in environments that have neither pydantic nor anything else of ours."""
    code = f"""
import sys
before = set(sys.modules)
import numpy
own = {{module.partition(".")[0] for module in sys.modules}}
import foretell.runtimes.{name}
found = {{module.partition(".")[0] for module in set(sys.modules) - before}} - own - set(sys.stdlib_module_names)
print(sorted(found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "['foretell']"
