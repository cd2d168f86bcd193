"""Training the examples on first use: what is there is kept, what cannot load is skipped with its install line."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def train_all() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "examples" / "train_all.py")))


@pytest.fixture
def broken_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A library whose import fails as LightGBM's does without OpenMP."""
    name = "library_without_openmp"
    fault = "libgomp.so.1: cannot open shared object file: No such file or directory"
    (tmp_path / f"{name}.py").write_text(f"raise OSError({fault!r})\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_a_library_without_openmp_gets_its_install_line(train_all: SimpleNamespace, broken_library: str) -> None:
    reason = train_all.obstacle(train_all.Example("shop", broken_library, "lightgbm"))
    assert reason == f"{broken_library} needs the system's OpenMP library: apt install libgomp1"


def test_a_library_that_is_not_installed_gets_its_install_line(train_all: SimpleNamespace) -> None:
    reason = train_all.obstacle(train_all.Example("shop", "no_such_library", "lightgbm,pandas"))
    assert reason == "no_such_library is not installed: pip install 'foretell[lightgbm,pandas]'"


def test_a_library_that_loads_is_no_obstacle(train_all: SimpleNamespace) -> None:
    assert train_all.obstacle(train_all.Example("shop", "json", "")) is None


def test_what_is_trained_is_kept(train_all: SimpleNamespace, tmp_path: Path) -> None:
    for example in train_all.EXAMPLES:
        for version in example.versions:
            (tmp_path / example.name / version).mkdir(parents=True)
    written: Any = StringIO()
    assert train_all.main(tmp_path, Console(file=written)) == 0
    assert written.getvalue() == ""


def test_the_shoppers_are_the_same_for_the_same_seed_and_of_all_types() -> None:
    draw = runpy.run_path(str(ROOT / "examples" / "preferences" / "shoppers.py"))["draw"]
    (shoppers, wanted), (others, again) = draw(300, seed=7), draw(300, seed=7)
    assert shoppers.equals(others)
    assert wanted.equals(again)
    assert {str(kind) for kind in shoppers.dtypes} == {"int64", "bool", "category", "float64"}
    assert shoppers["last_category"].isna().any()
    assert shoppers["average_order_eur"].isna().any()
