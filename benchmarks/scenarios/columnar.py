"""Batches of 10,000 rows in columnar formats and in JSON, beside the model in a loop without any server."""

from __future__ import annotations

import io
import subprocess
import sys
from contextlib import ExitStack

import numpy as np

from benchmarks.bench import Bench, Case, Figures
from benchmarks.machine import ROOT, pinned
from benchmarks.scenarios.batches import in_rows
from benchmarks.servers import Recipe
from benchmarks.wrk import Load, drive

ROWS = 10_000
WARM_UP_S = 1  # pyarrow is imported for the first body that asks for it
NPY, ARROW = "application/x-npy", "application/vnd.apache.arrow.stream"
SETTINGS = {"FORETELL_LIMITS__MAX_BATCH_ROWS": str(ROWS), "FORETELL_LIMITS__MAX_WAITING_ROWS": str(8 * ROWS)}
PATH = "/api/v1/models/breast-cancer/predict/batch"


def columnar(bench: Bench, _stack: ExitStack) -> list[Case]:
    models = bench.models
    rows = np.array([models.tumour_rows[i % len(models.tumour_rows)] for i in range(ROWS)])
    bodies = {
        "json": (models.batch(models.tumour_rows, ROWS), "application/json"),
        "npy": (npy(rows), NPY),
        "arrow": (arrow(rows, models.tumour_columns), ARROW),
    }
    cases = [in_rows(started_anew(bench, name, *body), ROWS) for name, body in bodies.items()]
    return [*cases, model_loop(bench, rows)]


def started_anew(bench: Bench, name: str, body: bytes, media_type: str) -> Case:
    """A case whose server is started in every round, as the loop is that it stands beside.

    Where its arrays come to lie makes a tenth of a process's speed, and stays as it is for as long as it lives.
    """
    key = f"columnar/{name}/{ROWS}x30"

    def measure() -> Figures:
        with ExitStack() as stack:
            server = bench.start(stack, Recipe.foretell(bench.models.repository, settings=SETTINGS))
            load = Load(server.url(PATH), body, 2, content_type=media_type, accept=media_type)
            drive(load, WARM_UP_S, bench.cores.load)
            return bench.load(key, load).measure()

    return Case(key, measure)


def npy(rows: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, rows)
    return buffer.getvalue()


def arrow(rows: np.ndarray, names: list[str]) -> bytes:
    import pyarrow as pa

    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in rows.T], names=names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def model_loop(bench: Bench, rows: np.ndarray) -> Case:
    path = bench.folder / "columnar.npy"
    np.save(path, rows)
    command = [sys.executable, "-m", "benchmarks.baselines.model_loop", str(bench.models.forest), str(path)]

    def measure() -> Figures:
        place = pinned([*command, str(bench.seconds)], bench.cores.server)
        run = subprocess.run(place, cwd=ROOT, capture_output=True, text=True, check=True)
        return {"per_s": float(run.stdout)}

    return Case("columnar/model-loop/10000x30", measure)
