"""A ``model.py`` on its way into a version folder, with the files it needs beside it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foretell.core.manifest import artifact_name_fault
from foretell.core.signature import Column, Output, Signature
from foretell.errors import PackagingError, SignatureMissing
from foretell.packaging.equality import RTOL_SINGLE, Answers
from foretell.packaging.sample import Sample
from foretell.runtimes.python import FILE_NAME, describe, describe_output


class PythonFile:
    """The author's own code, which is run to package it. What its annotations say of a column is declared by them."""

    tells_when_written = False
    distributions: Sequence[str] = ("numpy",)
    rtol = golden_rtol = RTOL_SINGLE  # what it computes in is its own matter

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self._path = path
        self._files = files
        check_files(files)
        try:
            self._signature: Signature | None = describe(path)
        except SignatureMissing:
            self._signature = None  # takes its columns as a mapping: the example says which there are
        self._output = self._signature.output if self._signature else describe_output(path)

    @property
    def title(self) -> str:
        return self._path.name

    @property
    def names(self) -> Sequence[str] | None:
        return self._signature.names if self._signature else None

    @property
    def width(self) -> int | None:
        return len(self._signature.columns) if self._signature else None

    def declared(self) -> dict[str, Mapping[str, Any]]:
        """What the annotations say, as ``declare`` takes it."""
        return {column.name: _declared(column) for column in (self._signature.columns if self._signature else ())}

    def answers(self, _example: Any, _sample: Sample) -> Answers | None:
        return None

    def output(self, _answers: Answers | None) -> Output | None:
        return self._output

    def write(self, folder: Path, _signature: Signature | None) -> Path:
        for file in self._files:
            shutil.copyfile(file, folder / file.name)
        shutil.copyfile(self._path, folder / FILE_NAME)
        return folder / FILE_NAME


def check_files(files: Sequence[Path]) -> None:
    """Raises PackagingError where one of them cannot lie beside a model."""
    for file in files:
        if not file.is_file() or artifact_name_fault(file.name) or file.stem == "model":
            raise PackagingError(f"{file} is no file that can lie beside the model")


def _declared(column: Column) -> dict[str, Any]:
    said: dict[str, Any] = {"type": str(column.type)}
    if column.nullable:
        said["nullable"] = True
    if column.closed and column.categories:
        said |= {"categories": list(column.categories), "closed": True}
    return said
