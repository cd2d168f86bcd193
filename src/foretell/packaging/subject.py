"""What was given to be packaged, seen alike whether it is an estimator, a booster, or a file that is already data."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from foretell.core.signature import Output, Signature
from foretell.packaging.equality import Answers
from foretell.packaging.sample import Sample


class Subject(Protocol):
    """An object or file on its way into a version folder.

    ``names`` are the column names it was fitted with, None where it does not tell; ``width`` how many columns it takes,
    None where it does not tell. ``rtol`` is how near the written model's numbers must come to this one's;
    ``golden_rtol`` how near they must stay wherever it is served. ``tells_when_written`` says that the artifact can be
    written without a signature, and that it, not the object, tells names, width and output.
    """

    @property
    def title(self) -> str:
        """What it is, for people: ``LogisticRegression``, ``ONNX model`` ..."""
        ...

    @property
    def tells_when_written(self) -> bool: ...

    @property
    def names(self) -> Sequence[str] | None: ...

    @property
    def width(self) -> int | None: ...

    @property
    def distributions(self) -> Sequence[str]:
        """The libraries that made it, by distribution name, for the manifest."""
        ...

    @property
    def rtol(self) -> float: ...

    @property
    def golden_rtol(self) -> float: ...

    def answers(self, example: Any, sample: Sample, /) -> Answers | None:
        """What it answers itself, for the rows of the sample; None where there is no object to ask, only a file.

        ``example`` holds the same rows as the author gave them, None where they came from a CSV file or as plain lists.
        Raises PackagingError where it fails on them.
        """
        ...

    def output(self, answers: Answers | None, /) -> Output | None:
        """What it gives for a row; None where only the written artifact tells."""
        ...

    def write(self, folder: Path, signature: Signature | None, /) -> Path:
        """Writes the artifact into the folder and returns it. Raises NotStorable.

        ``signature`` is None only where ``output`` is.
        """
        ...
