"""TensorFlow and Keras models, converted to LiteRT. Only here is TensorFlow needed, never to serve."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foretell.errors import LoadFailed, MissingLibrary, NotStorable
from foretell.packaging.array_subject import ArraySubject
from foretell.runtimes.base import Runtime

SUFFIXES = frozenset({".keras", ".h5", ".hdf5"})
_SAVED_MODEL = "saved_model.pb"


def is_tensorflow(path: Path) -> bool:
    """Whether a path is a Keras file or the folder of a SavedModel. Both are code: Keras' own safe mode is no wall."""
    return path.suffix.lower() in SUFFIXES or (path / _SAVED_MODEL).is_file()


def keras_file(path: Path, runtime: Runtime, *, classes: bool) -> ArraySubject:
    """Loads a Keras file or a SavedModel, which may run code from it. Raises MissingLibrary or LoadFailed."""
    tf = _tensorflow()
    if path.is_dir():
        converter = _quietly(path.name, lambda: tf.lite.TFLiteConverter.from_saved_model(str(path)))
        content = _converted(path.name, converter)
        return ArraySubject(
            path.name, runtime, lambda target: _write(target, content), classes=classes, distributions=("tensorflow",)
        )
    model = _quietly(path.name, lambda: tf.keras.models.load_model(str(path), compile=False))
    return keras_object(model, runtime, classes=classes)


def keras_object(model: Any, runtime: Runtime, *, classes: bool) -> ArraySubject:
    """A Keras model in memory. Raises MissingLibrary or NotStorable."""
    tf = _tensorflow()
    title = type(model).__name__
    content = _converted(title, tf.lite.TFLiteConverter.from_keras_model(model))

    def reference(arrays: list[NDArray[Any]]) -> list[NDArray[Any]]:
        found = model.predict(arrays if len(arrays) > 1 else arrays[0], verbose=0)
        return [np.asarray(array) for array in (found if isinstance(found, list | tuple) else [found])]

    return ArraySubject(
        title,
        runtime,
        lambda target: _write(target, content),
        classes=classes,
        reference=reference,
        distributions=("tensorflow", "keras"),
    )


def _converted(title: str, converter: Any) -> bytes:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bytes(converter.convert())
    except Exception as error:  # the converter raises whatever its passes raise
        first = (str(error).splitlines() or ["no message"])[0][:300]
        raise NotStorable(
            f"{title} cannot be converted to LiteRT: {first}",
            hint="operators beyond LiteRT's own are not served; a model.py can run the model with TensorFlow itself",
        ) from error


def _quietly(name: str, load: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return load()
    except Exception as error:  # loading a Keras file runs whatever is in it
        first = (str(error).splitlines() or ["no message"])[0][:300]
        raise LoadFailed(f"{name} cannot be loaded by TensorFlow: {type(error).__name__}: {first}") from error


def _write(target: Path, content: bytes) -> None:
    target.write_bytes(content)


def _tensorflow() -> Any:
    try:
        import tensorflow
    except (ImportError, OSError) as error:
        raise MissingLibrary(
            f"TensorFlow and Keras models are converted by TensorFlow, which cannot be imported: {error}",
            hint="pip install tensorflow (to convert; to serve, foretell[litert] is enough)",
        ) from error
    return tensorflow
