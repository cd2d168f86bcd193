"""Damaged and crafted artifacts are refused with a promised error, or answer; they never crash the process.

The libraries are native code, so each runtime's files are tried in a child process: what kills it is seen by its exit.
``python -m tests.contract.test_hostile_artifacts SPECIMEN[,SPECIMEN ...] COUNT SEED`` runs one child by hand.
"""

from __future__ import annotations

import io
import random
import subprocess
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.errors import LoadFailed, MissingLibrary, SignatureMissing, UntrustedArtifact
from foretell.runtimes import registry
from foretell.runtimes.base import LoadOptions
from tests import zoo

ROOT = Path(__file__).parents[2]
PROMISED = (LoadFailed, MissingLibrary, SignatureMissing, UntrustedArtifact)
TRIED = [
    "sklearn-forest",
    "sklearn-hist-boosting",
    "sklearn-neighbours",
    "sklearn-support-vectors",
    "onnx-iris-logistic",
    "onnx-forest-text-classes",
    "xgboost-categories",
    "xgboost-named-json",
    "lightgbm-categories",
    "litert-layer",
]


def damaged(content: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Cut off, flipped, overwritten and shuffled copies; the empty file and the first bytes alone among them."""
    yield from (b"", content[:1], content[:2], content[:16], content[: len(content) // 2], content[:-1])
    rng = random.Random(seed)
    yield from mutations(content, count, rng)
    if zipfile.is_zipfile(io.BytesIO(content)):
        for _ in range(count):
            yield repacked(content, rng)


def repacked(archive: bytes, rng: random.Random) -> bytes:
    """The archive with one damaged member, its checksum made right again, as an attacker would."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as before, zipfile.ZipFile(made, "w") as after:
        members = before.namelist()
        # Arrays far more often than the schema, of which most changes are noticed at once.
        chosen = rng.choice([name for name in members if name.endswith(".npy")] * 4 + members)
        for name in members:
            member = before.read(name)
            after.writestr(name, next(mutations(member, 1, rng)) if name == chosen and member else member)
    return made.getvalue()


def mutations(content: bytes, count: int, rng: random.Random) -> Iterator[bytes]:
    """``count`` copies, each damaged at one place."""
    for _ in range(count):
        made, place = bytearray(content), rng.randrange(len(content))
        match rng.choice(("bit", "bit", "byte", "zeros", "splice", "digit", "cut")):
            case "bit":
                made[place] ^= 1 << rng.randrange(8)
            case "byte":
                made[place] = rng.randrange(256)
            case "zeros":
                made[place : place + 16] = bytes(len(made[place : place + 16]))
            case "splice":
                other = rng.randrange(len(content))
                made[place : place + 64] = content[other : other + 64]
            case "digit":
                digits = [near for near in range(place, min(place + 300, len(made))) if 48 <= made[near] <= 57]
                if digits:
                    made[digits[0]] = rng.choice(b"0123456789")
            case _:
                del made[place:]
        yield bytes(made)


def attempt(name: str, count: int, seed: int) -> None:
    """Loads every damaged copy and predicts where one loads. Prints the number tried before each attempt."""
    warnings.simplefilter("ignore")
    specimen = zoo.specimen(name)
    runtime = registry.get(specimen.runtime)
    with tempfile.TemporaryDirectory() as folder:
        path = specimen.write(Path(folder))
        inputs = zoo.inputs_of(
            zoo.take(specimen.X, slice(0, 8)), runtime.load(path, specimen.signature, LoadOptions()).signature
        )
        for number, content in enumerate(damaged(path.read_bytes(), count, seed)):
            print(f"{name}:{number}", flush=True)  # noqa: T201 - the parent reads it
            path.write_bytes(content)
            registry.recognise(path)
            try:
                model = runtime.load(path, specimen.signature, LoadOptions())
            except PROMISED:
                continue
            try:
                model.predict(inputs)
            except Exception as error:  # the port lets predict raise what the library raises
                print(type(error).__name__, flush=True)  # noqa: T201
    print("done", flush=True)  # noqa: T201


@pytest.mark.parametrize("library", sorted({name.partition("-")[0] for name in TRIED}))
def test_damaged_artifacts_never_crash_and_raise_only_what_is_promised(library: str) -> None:
    if library == "litert":
        pytest.importorskip("ai_edge_litert", reason="pip install 'foretell[litert]'")
    names = ",".join(name for name in TRIED if name.startswith(library))  # one child: to load a library takes longest
    child = subprocess.run(
        [sys.executable, "-m", "tests.contract.test_hostile_artifacts", names, "40", "7"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    said = child.stdout.split()
    assert child.returncode == 0, f"exit {child.returncode} after {said[-3:]}: {child.stderr[-2000:]}"
    assert said.count("done") == names.count(",") + 1


if __name__ == "__main__":
    for each in sys.argv[1].split(","):
        attempt(each, int(sys.argv[2]), int(sys.argv[3]))
