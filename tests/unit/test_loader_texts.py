"""What is said about a model that fails: short, one line, no paths of the server; whatever the model raises."""

from __future__ import annotations

import pytest

from foretell.errors import LoadFailed, MissingLibrary
from foretell.lifecycle.loader import artifact_faults, describe, short_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot open /srv/models/iris/v1/model.skops: no such file", "cannot open model.skops: no such file"),
        ("'/proc/self/fd/12/model.onnx' failed", "'model.onnx' failed"),
        ("see https://example.org/docs/page for more", "see https://example.org/docs/page for more"),
        ("foretell add iris models/iris/model.pkl", "foretell add iris models/iris/model.pkl"),
        ("and/or, 1/2", "and/or, 1/2"),
        ("two\nlines\t here", "two lines here"),
        ("at (/usr/lib/python3/site-packages/x.py), line 3", "at (x.py), line 3"),
    ],
)
def test_paths_of_the_server_are_cut_down_to_names(text: str, expected: str) -> None:
    assert short_text(text) == expected


def test_long_texts_are_clipped() -> None:
    assert len(short_text("x" * 10**6)) == 300


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    "raised",
    [
        ValueError("bad file"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(), MemoryError(),
        RecursionError("deep"), Silent(), BaseExceptionGroup("many", [SystemExit(1)]), AssertionError(),
    ],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_whatever_a_model_raises_is_an_artifact_error(raised: BaseException) -> None:
    words = f"^loading the model raised {type(raised).__name__}: .+"
    with pytest.raises(LoadFailed, match=words), artifact_faults("loading"):
        raise raised


def test_what_is_not_the_models_passes() -> None:
    with pytest.raises(KeyboardInterrupt), artifact_faults("measuring", KeyboardInterrupt):
        raise KeyboardInterrupt


def test_artifact_errors_keep_their_kind_and_lose_paths() -> None:
    with pytest.raises(MissingLibrary) as caught, artifact_faults("loading"):
        raise MissingLibrary("no module for /srv/models/a.onnx", hint="pip install 'foretell[onnx]'")
    assert (str(caught.value), caught.value.hint) == ("no module for a.onnx", "pip install 'foretell[onnx]'")


def test_an_exception_without_words_is_named_so() -> None:
    assert describe(Silent()) == describe(ValueError()) == "no reason given"
