"""Models that are data already: an ONNX model in memory, or a file in a format that is served as it is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from foretell.core.signature import Output, Signature
from foretell.packaging.equality import RTOL_DOUBLE, RTOL_SINGLE, Answers
from foretell.packaging.sample import Sample

_DISTRIBUTIONS = {
    "sklearn": ("scikit-learn", "skops", "numpy", "scipy"),
    "onnx": ("onnxruntime", "numpy"),
    "xgboost": ("xgboost", "numpy"),
    "lightgbm": ("lightgbm", "numpy"),
}
_ENDINGS = {"sklearn": ".skops", "onnx": ".onnx", "lightgbm": ".txt"}


class StoredModel:
    """A file whose bytes are taken over unchanged, or an ONNX model in memory."""

    tells_when_written = True
    names: Sequence[str] | None = None
    width: int | None = None

    def __init__(self, content: Path | bytes, runtime: str) -> None:
        self._content = content
        self._runtime = runtime
        self.distributions: Sequence[str] = _DISTRIBUTIONS.get(runtime, ("numpy",))
        self.rtol = self.golden_rtol = RTOL_DOUBLE if runtime in ("sklearn", "lightgbm") else RTOL_SINGLE

    @property
    def title(self) -> str:
        return f"{self._runtime} model" if isinstance(self._content, bytes) else self._content.name

    def answers(self, _example: Any, _sample: Sample) -> Answers | None:
        return None

    def output(self, _answers: Answers | None) -> Output | None:
        return None

    def write(self, folder: Path, _signature: Signature | None) -> Path:
        if isinstance(self._content, bytes):
            path = folder / f"model{_ENDINGS[self._runtime]}"
            path.write_bytes(self._content)
            return path
        path = folder / f"model{_ENDINGS.get(self._runtime, self._content.suffix)}"
        shutil.copyfile(self._content, path)
        return path
