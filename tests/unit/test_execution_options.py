"""The table ``[execution]`` of a manifest."""

from __future__ import annotations

from typing import Any

import pytest

from foretell.core.execution import ExecutionOptions
from foretell.errors import ManifestError

WHOLE = ExecutionOptions("hosted", 128, 2.5, 1.5, 2, 512, "../venv", "cuda:0")


def test_what_is_written_is_read_again() -> None:
    assert ExecutionOptions.from_document(WHOLE.to_document()) == WHOLE
    assert ExecutionOptions().to_document() == {}
    assert ExecutionOptions.from_document({}) == ExecutionOptions()


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({"mod": "hosted"}, "execution: unknown keys: mod"),
        ({"mode": "process"}, "execution.mode must be one of auto, direct"),
        ({"max_batch_rows": 0}, "execution.max_batch_rows"),
        ({"max_batch_rows": True}, "execution.max_batch_rows"),
        ({"replicas": 1.5}, "execution.replicas"),
        ({"memory_mib": 1}, "execution.memory_mib"),
        ({"max_wait_ms": -1}, "execution.max_wait_ms"),
        ({"timeout_s": True}, "execution.timeout_s"),
        ({"timeout_s": float("nan")}, "execution.timeout_s"),
        ({"timeout_s": "1"}, "execution.timeout_s"),
        ({"python": 3}, "execution.python must be a text"),
        ({"device": ""}, "execution.device must be a text"),
    ],
    ids=str,
)
def test_a_fault_is_named_with_its_place(document: dict[str, Any], place: str) -> None:
    with pytest.raises(ManifestError, match=place):
        ExecutionOptions.from_document(document)
