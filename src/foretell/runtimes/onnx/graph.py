"""What an ONNX file says before onnxruntime sees it: files it would open, and the labels of its classes.

Field numbers are those of ``onnx.proto``. External data is a path attack when believed (CVE-2022-25882, CVE-2024-27318,
CVE-2025-51480): every location has to be the plain name of an ordinary file beside the model.
"""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from foretell.core.signature import Label
from foretell.errors import LoadFailed, UntrustedArtifact
from foretell.runtimes.onnx.protobuf import MessageError, Value, fields, signed, varints

# A message reached by (kind, field number): where tensors, and graphs that hold tensors, can stand.
_INSIDE = {
    ("model", 7): "graph",
    ("model", 20): "training",
    ("model", 25): "function",
    ("training", 1): "graph",
    ("training", 2): "graph",
    ("function", 7): "node",
    ("function", 11): "attribute",
    ("graph", 1): "node",
    ("graph", 5): "tensor",
    ("graph", 15): "sparse",
    ("node", 5): "attribute",
    ("attribute", 5): "tensor",
    ("attribute", 6): "graph",
    ("attribute", 10): "tensor",
    ("attribute", 11): "graph",
    ("attribute", 22): "sparse",
    ("attribute", 23): "sparse",
    ("sparse", 1): "tensor",
    ("sparse", 2): "tensor",
    ("tensor", 13): "entry",
}
_DEPTH = 100
_LABELLERS = ("ZipMap", "TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier")


def external_locations(model: memoryview) -> list[str]:
    """Every file name the model would read beside itself, as it is written there.

    Raises MessageError where the bytes are no protobuf, or nest too deeply.
    """
    return list(_locations("model", model, 0))


def _locations(kind: str, message: memoryview, depth: int) -> Iterator[str]:
    if depth > _DEPTH:
        raise MessageError("messages nest too deeply")
    for number, value in fields(message):
        inside = _INSIDE.get((kind, number))
        if inside is None or isinstance(value, int):
            continue
        if inside == "entry":
            entry = dict(fields(value))
            if _text(entry.get(1, 0)) == "location":
                yield _text(entry.get(2, 0))
        else:
            yield from _locations(inside, value, depth + 1)


def check_external(locations: list[str], folder: Path) -> None:
    """Raises UntrustedArtifact unless each location is the plain name of an ordinary file in the folder."""
    for location in locations:
        path = folder / location
        plain = location not in ("", ".", "..") and not set(location) & set("/\\\0")
        if not plain:
            raise UntrustedArtifact(f"the model reads the file {location[:100]!r}, which is not in its folder")
        try:
            found = path.lstat()
        except OSError as error:
            raise LoadFailed(f"the model reads the file {location[:100]!r} beside it, which is not there") from error
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            raise UntrustedArtifact(f"the model reads the file {location[:100]!r}, which is a link or no ordinary file")


@dataclass(frozen=True, slots=True)
class _Node:
    operator: str
    attributes: tuple[memoryview, ...]


def class_labels(model: memoryview) -> tuple[Label, ...] | None:
    """The labels a classifier's node carries, in the order of its probabilities; None where the graph does not tell.

    ZipMap has the last word; else the last classifier of the graph. Raises MessageError as ``external_locations``.
    """
    found: dict[str, tuple[Label, ...]] = {}
    for number, graph in fields(model):
        if number != 7 or isinstance(graph, int):
            continue
        for inner, value in fields(graph):
            if inner == 1 and not isinstance(value, int):
                node = _node(value)
                labels = _labels(node) if node.operator in _LABELLERS else None
                if labels:
                    found["ZipMap" if node.operator == "ZipMap" else "classifier"] = labels
    return found.get("ZipMap") or found.get("classifier")


def _node(message: memoryview) -> _Node:
    operator, attributes = "", []
    for number, value in fields(message):
        if number == 4:
            operator = _text(value)
        elif number == 5 and not isinstance(value, int):
            attributes.append(value)
    return _Node(operator, tuple(attributes))


def _labels(node: _Node) -> tuple[Label, ...] | None:
    for attribute in node.attributes:
        start = next(((number, value) for number, value in fields(attribute)), None)
        if start is None or start[0] != 1 or not _text(start[1]).startswith("classlabels"):
            continue
        labels: list[Label] = []
        for number, value in fields(attribute):
            if number == 8:
                labels.extend(signed(item) for item in ([value] if isinstance(value, int) else varints(value)))
            elif number == 9:
                labels.append(_text(value))
        if labels:
            return tuple(labels)
    return None


def _text(value: Value) -> str:
    return "" if isinstance(value, int) else bytes(value).decode("utf-8", "replace")
