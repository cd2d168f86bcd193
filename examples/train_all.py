"""Trains the examples whose versions are missing in a models folder: `python examples/train_all.py --models models`.

An example whose library cannot load on this machine is skipped, with the line that installs what it lacks.
"""

from __future__ import annotations

import argparse
import importlib
import os
import runpy
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Example:
    """One example: the library it cannot do without and the versions that its ``train.py`` writes."""

    name: str
    library: str
    extra: str
    versions: tuple[str, ...] = ("v1",)

    def missing_in(self, models: Path) -> bool:
        return not all((models / self.name / version).is_dir() for version in self.versions)

    def train(self, models: Path) -> None:
        """Runs the example's own script. Whatever goes wrong in it comes through."""
        folder = str(FOLDER / self.name)
        sys.path.insert(0, folder)
        try:
            runpy.run_path(str(FOLDER / self.name / "train.py"))["train"](models)
        finally:
            sys.path.remove(folder)


EXAMPLES = (
    Example("iris", "sklearn", "sklearn,onnx,convert", ("v1", "v2")),
    Example("diabetes", "xgboost", "xgboost"),
    Example("breast-cancer", "sklearn", "sklearn"),
    Example("preferences", "lightgbm", "lightgbm,pandas"),
)


def obstacle(example: Example) -> str | None:
    """Why the example's library cannot load here and the line that mends it, or None where it loads."""
    try:
        importlib.import_module(example.library)
    except ModuleNotFoundError as missing:
        return f"{missing.name} is not installed: pip install 'foretell[{example.extra}]'"
    except Exception as fault:  # a library that lacks a system library says so in errors of its own kinds
        if "libgomp" in str(fault):
            return f"{example.library} needs the system's OpenMP library: apt install libgomp1"
        return f"{example.library} does not load: {str(fault).splitlines()[0]}"
    return None


def main(models: Path, console: Console) -> int:
    missing = [example for example in EXAMPLES if example.missing_in(models)]
    if not missing:
        return 0
    console.print(f"Training the examples into {models}/ (once; they are kept)")
    trained = len(EXAMPLES) - len(missing)
    for number, example in enumerate(missing, 1):
        started_s = time.monotonic()
        with console.status(f"{example.name} ({number} of {len(missing)})"):
            if reason := obstacle(example):
                console.print(f"  {example.name}: [yellow]skipped[/], {reason}", highlight=False)
                continue
            example.train(models)
        trained += 1
        console.print(f"  {example.name}: ready in {time.monotonic() - started_s:.1f} s")
    return 0 if trained else 1


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models", type=Path, default=Path("models"), help="where versions are written (default: models)"
    )
    raise SystemExit(main(parser.parse_args().models, Console()))
