"""The application does what its own OpenAPI document says, and nothing else: asked by schemathesis, over a socket."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from foretell.core.access.principal import Principal
from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Inputs, Outputs, Table
from tests.gates import Keys, gate
from tests.serving import running

ROOT = Path(__file__).parents[2]
# which body suits a path with {model} in it depends on the name, which a schema cannot say; the models' own paths can
CONFIG = """\
[generation]
with-security-parameters = false

[[operations]]
include-path-regex = ".*\\\\{model\\\\}.*predict.*"
checks.positive_data_acceptance.enabled = false
"""
RUN = "from schemathesis.cli import schemathesis; schemathesis()"


class Sign:
    """A classifier that any row of mixed columns suits: the sign of x."""

    model_type = "Sign"
    parameters: ClassVar[dict[str, Any]] = {}
    signature = Signature(
        (
            Column("x", minimum=-1e9, exclusive_maximum=1e9),
            Column("n", ColumnType.INTEGER),
            Column("b", ColumnType.BOOLEAN),
            Column("w", ColumnType.STRING, nullable=True, max_length=20),
        ),
        output=Output("classification", ("minus", "plus"), probabilities=True),
    )

    def predict(self, inputs: Inputs) -> Outputs:
        assert isinstance(inputs, Table)
        indices = (inputs.columns["x"] > 0).astype(np.intp)
        return Outputs(self.signature.output, indices=indices, probabilities=np.eye(2)[indices])

    def close(self) -> None:
        """Holds nothing."""


def test_every_operation_answers_as_it_is_described(tmp_path: Path) -> None:
    """With the lane, which leaves most of it to the ordinary way; test_openapi of e2e asks a server without it, too."""
    environ = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.csv_bodies", "PYTHONPATH": str(ROOT)}
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    caller = Principal("key:all", "key", "all", frozenset({"predict", "models:read"}))
    known = gate(Keys({"ft_all": caller}))
    with running(Sign(), gate=known) as server:
        url = f"http://127.0.0.1:{server.port}/openapi.json"
        command = [
            sys.executable,
            "-c",
            RUN,
            "run",
            url,
            "--max-examples",
            "4",
            "--no-color",
            "--header",
            "X-API-Key: ft_all",
        ]
        run = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
