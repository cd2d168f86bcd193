"""Importing Foretell, or asking the command line for help, loads no machine-learning library."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = [
    "sklearn", "scipy", "joblib", "skops", "onnx", "onnxruntime", "skl2onnx", "onnxmltools", "xgboost", "lightgbm",
    "pandas", "pyarrow", "torch", "ai_edge_litert", "tensorflow", "matplotlib", "redis", "hiredis", "cryptography",
    "sqlalchemy", "alembic", "psycopg", "joserfc", "cryptography", "httpx2",
]  # fmt: skip
REPORT = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after the statement."""
    command = [sys.executable, "-c", f"{statement}; {REPORT}"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize("module", ["foretell", "foretell.settings", "foretell.cli.main", "foretell.bootstrap"])
def test_an_import_loads_no_ml_library(module: str) -> None:
    assert not loaded_by(f"import {module}") & set(HEAVY)


def test_importing_foretell_loads_neither_numpy_nor_a_web_framework() -> None:
    assert not loaded_by("import foretell") & {"numpy", "fastapi", "starlette", "uvicorn", "rich", "typer"}
