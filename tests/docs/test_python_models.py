"""The class on the page about Python models is one that can be served."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foretell.core.values import Table
from foretell.runtimes.base import LoadOptions
from foretell.runtimes.python import runtime
from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "how-to" / "python-models.md"


def test_the_class_on_the_page_answers(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(PAGE.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0])
    assert runtime.recognise(path) is not None
    model = runtime.load(path, None, LoadOptions())
    plans = np.array(["basic", "gold"], dtype=object)
    outputs = model.predict(Table({"age": np.array([40.0, 20.0]), "plan": plans, "months": np.array([np.nan, 3.0])}))
    assert outputs.listed.predictions == ["leaves", "stays"]
    model.close()
