"""CSV files scored in a plain loop, one process for each: `python -m benchmarks.baselines.arrow_loop MODEL FILE...`.

pyarrow reads, the model predicts, pyarrow writes: what somebody would write who needs it once. One thread a process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
from pyarrow import csv

NAMES = np.array(["setosa", "versicolor", "virginica"])
BLOCK_BYTES = 1024 * 1024


def scored(model: Any, batch: Any) -> Any:
    rows = np.stack([column.to_numpy() for column in batch.columns], axis=1)
    probabilities = model.predict_proba(rows)
    best = probabilities.argmax(axis=1)
    answers = [pa.array(model.classes_[best]), pa.array(NAMES[best]), pa.array(probabilities.max(axis=1))]
    names = [*batch.schema.names, "prediction", "class_name", "confidence"]
    return pa.record_batch([*batch.columns, *answers], names=names)


def work(model_path: str, path: Path) -> None:
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    model = joblib.load(model_path)
    reader = csv.open_csv(path, read_options=csv.ReadOptions(use_threads=False, block_size=BLOCK_BYTES))
    writer = None
    for batch in reader:
        found = scored(model, batch)
        writer = writer or csv.CSVWriter(path.with_suffix(".out"), found.schema)
        writer.write_batch(found)
    if writer is not None:
        writer.close()


def main(model_path: str, paths: list[str]) -> None:
    if len(paths) == 1:
        work(model_path, Path(paths[0]))
        return
    command = [sys.executable, "-m", "benchmarks.baselines.arrow_loop", model_path]
    processes = [subprocess.Popen([*command, path]) for path in paths]
    for process in processes:
        assert process.wait() == 0


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
