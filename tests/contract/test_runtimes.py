"""One contract over all runtimes: a served model answers what the estimator itself answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foretell.core.signature import Signature
from foretell.core.values import Outputs
from foretell.runtimes import registry
from foretell.runtimes.base import LoadOptions, Model
from tests import zoo


@pytest.fixture(scope="module", params=zoo.names())
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[zoo.Specimen, Path, Model]:
    specimen = zoo.specimen(request.param)
    path = specimen.write(tmp_path_factory.mktemp("zoo"))
    return specimen, path, registry.get(specimen.runtime).load(path, specimen.signature, LoadOptions())


def assert_near(actual: Any, expected: Any, rtol: float) -> None:
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol)


def labels(outputs: Outputs) -> Any:
    return np.asarray(outputs.listed.predictions)


def assert_same(specimen: zoo.Specimen, outputs: Outputs, X: Any) -> None:
    expected = specimen.predict(X)
    if outputs.output.kind == "regression":
        assert_near(outputs.values, expected, specimen.rtol)
    else:
        assert labels(outputs).tolist() == expected.tolist()
    probabilities = specimen.predict_proba(X)
    if probabilities is None:
        assert outputs.probabilities is None
    else:
        assert_near(outputs.probabilities, probabilities, specimen.rtol)


def test_a_file_is_recognised_by_its_runtime(served: Any) -> None:
    specimen, path, _model = served
    recognition = registry.recognise(path)
    assert recognition is not None
    assert recognition.runtime == specimen.runtime
    assert recognition.reason


def test_answers_are_the_estimators_own_in_order_and_number(served: Any) -> None:
    specimen, _path, model = served
    outputs = model.predict(zoo.inputs_of(specimen.X, model.signature))
    assert outputs.count == len(specimen.X)
    assert_same(specimen, outputs, specimen.X)


def test_a_row_alone_answers_as_in_a_batch(served: Any) -> None:
    specimen, _path, model = served
    inputs = zoo.inputs_of(specimen.X, model.signature)
    batch = model.predict(inputs)
    for row in range(0, len(specimen.X), 23):
        alone, within = model.predict(inputs.part(row, row + 1)), batch.part(row, row + 1)
        if alone.output.kind == "regression":
            assert_near(alone.values, within.values, specimen.rtol)
        else:
            assert alone.listed.predictions == within.listed.predictions
        if within.probabilities is not None:
            np.testing.assert_allclose(
                alone.probabilities, within.probabilities, rtol=specimen.rtol, atol=specimen.rtol
            )


def test_several_threads_get_their_own_answers(served: Any) -> None:
    specimen, _path, model = served
    parts = [zoo.take(specimen.X, slice(start, start + 17)) for start in range(0, 100, 17)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda part: model.predict(zoo.inputs_of(part, model.signature)), parts * 3))
    for part, outputs in zip(parts * 3, answers, strict=True):
        assert_same(specimen, outputs, part)


def test_the_signature_goes_through_a_document(served: Any) -> None:
    specimen, path, model = served
    again = Signature.from_document(model.signature.to_document())
    assert again == model.signature
    reloaded = registry.get(specimen.runtime).load(path, again, LoadOptions())
    part = zoo.take(specimen.X, slice(0, 9))
    assert_same(specimen, reloaded.predict(zoo.inputs_of(part, again)), part)


def test_a_model_says_what_it_is(served: Any) -> None:
    _specimen, _path, model = served
    assert model.model_type
    assert isinstance(dict(model.parameters), dict)
    model.signature.to_document()
