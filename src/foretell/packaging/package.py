"""``foretell.package``: what an author calls from a notebook."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foretell.errors import PackagingError
from foretell.packaging.columns import Declared
from foretell.packaging.example import Example
from foretell.packaging.packing import Order, Packaged, pack
from foretell.packaging.subjects import Format
from foretell.packaging.tensor_example import TensorExample
from foretell.runtimes.registry import installed


def package(
    model: Any,
    path: str | os.PathLike[str],
    *,
    example: Any,
    target: str | None = None,
    class_names: Sequence[str] | Mapping[Any, str] | None = None,
    feature_names: Sequence[str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    declare: Declared | None = None,
    format: Format = "auto",
    files: Sequence[str | os.PathLike[str]] = (),
) -> Packaged:
    """Writes a fitted model as an immutable version folder, such as ``models/iris/v1``, and checks what was written.

    model          a fitted scikit-learn estimator or pipeline, an XGBoost or LightGBM model, an ONNX model, a program
                   from ``torch.export`` or TorchScript, a Keras model, or the path of a model file
    example        rows the model was trained on: a DataFrame, an array, a list of rows or a dict of columns. Types,
                   null-ness, reference statistics and golden examples come from them; a few hundred rows do. For a
                   model that takes tensors an array of three axes or more, or a dict of arrays, the first axis the rows
    target         the column of ``example`` that is predicted; it is left out of the features and checked
    class_names    names of the classes for people, in the order of the classes, or by class
    feature_names  names of the columns, where neither model nor example has them
    metadata       whatever should be kept with the version
    declare        what callers must keep to, by column: ``{"age": {"minimum": 0, "nullable": True}}``. Only what is
                   declared here is enforced; what is seen in the example never is
    format         ``auto`` keeps the estimator itself; ``onnx`` converts it; ``pickle`` pickles it, to be served hosted
                   where the settings allow it by name
    files          for a ``model.py`` or a pickle: what it needs beside it, such as weights and modules

    Nothing is overwritten and nothing half-written is left. Raises VersionExists, NotStorable, ConversionDiffers (with
    the rows that differ) or another PackagingError (``foretell.errors``).
    """
    order = Order(
        format=format,
        class_names=class_names,
        feature_names=feature_names,
        metadata=metadata or {},
        declare=declare or {},
        files=[Path(file) for file in files],
    )
    tensors = TensorExample.of(example)
    if tensors is not None and (target is not None or declare):
        raise PackagingError("an example of tensors has no columns to be the target or to be declared")
    return pack(model, path, tensors or Example.of(example, target), order, installed())
