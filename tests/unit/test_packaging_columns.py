"""Columns, statistics, class names, metadata and versions: what packaging writes down about a model."""

from __future__ import annotations

import json
import platform
import tomllib
from datetime import date
from typing import Any

import numpy as np
import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.values import Outputs
from foretell.errors import PackagingError
from foretell.packaging.classes import check_labels, with_class_names
from foretell.packaging.columns import Declared, describe_columns, retyped
from foretell.packaging.plain import plain_metadata
from foretell.packaging.reading import read_sample
from foretell.packaging.statistics import WIDE, statistics
from foretell.packaging.versions import Skew, installed, library_versions, skews


def describe(example: Any, declare: Declared | None = None, first: int = 0) -> tuple[Column, ...]:
    return describe_columns(retyped(read_sample(example), declare or {}), declare or {}, first)


# -- columns -----------------------------------------------------------------------------------------------------------


def test_nothing_observed_is_enforced() -> None:
    (age, plan) = describe({"age": [18, 80], "plan": ["gold", "gold"]})
    assert age == Column("age", ColumnType.INTEGER, example=18)
    assert plan == Column("plan", ColumnType.CATEGORY, categories=("gold",), example="gold")
    assert not age.bounded
    assert not plan.closed


def test_a_column_is_nullable_exactly_where_nulls_were_seen() -> None:
    assert [column.nullable for column in describe({"a": [1.0, None], "b": [1.0, 2.0]})] == [True, False]


def test_what_is_declared_is_taken_over() -> None:
    declare: dict[str, dict[str, Any]] = {
        "age": {
            "type": "float",
            "minimum": 0,
            "exclusive_maximum": np.float64(130.5),
            "nullable": True,
            "description": "years",
        },
        "plan": {"categories": ("gold", "basic"), "closed": True},
        "city": {"closed": True, "max_length": 9, "pattern": "[A-Z].*", "example": "Oslo", "minimum": None},
    }
    age, plan, city = describe({"age": [41, 42], "plan": ["gold", "x"], "city": ["Turin", "Turin"]}, declare)
    assert age == Column("age", nullable=True, minimum=0, exclusive_maximum=130.5, description="years", example=41.0)
    assert (plan.type, plan.categories, plan.closed) == (ColumnType.CATEGORY, ("gold", "basic"), True)
    assert (city.categories, city.closed, city.max_length, city.example) == (("Turin",), True, 9, "Oslo")


@pytest.mark.parametrize(
    ("declare", "says"),
    [
        ({"agee": {"minimum": 0}}, "column 'agee' that the example does not have; did you mean 'age'?"),
        ({"age": {"minimun": 0}}, "unknown key 'minimun'; did you mean 'minimum'?"),
        ({"age": {"zzz": 0}}, "unknown key 'zzz'; known are type, nullable"),
        ({"age": {"type": "number"}}, "type 'number' is none of float, integer"),
        ({"age": {"minimum": "low"}}, "column 'age' cannot be declared so"),
        ({"name": {"closed": True}}, "lists no categories"),
        ({"name": {"type": "float"}}, "declared float, but the example holds string values"),
    ],
)
def test_what_cannot_be_declared_is_refused_with_the_place(declare: Declared, says: str) -> None:
    with pytest.raises(PackagingError) as caught:
        describe({"age": [1], "name": ["x"]}, declare)
    assert says in caught.value.detail


def test_examples_come_from_the_row_asked_for_or_the_next_that_has_a_value() -> None:
    rows = {"a": [1, 2, 3], "b": [None, None, 2.5], "c": [0.5, None, None], "d": [None, None, None]}
    assert [column.example for column in describe(rows, first=1)] == [2, 2.5, 0.5, None]


_CELLS = st.one_of(
    st.lists(st.none() | st.floats(), min_size=1, max_size=5),
    st.lists(st.none() | st.integers(-(2**62), 2**62), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.lists(st.none() | st.text(st.characters(codec="utf-8"), max_size=70), min_size=1, max_size=5),
    st.lists(st.none() | st.datetimes(), min_size=1, max_size=5),
)


@given(_CELLS)
@settings(max_examples=200)
def test_whatever_is_inferred_can_be_written_and_read_again(cells: list[Any]) -> None:
    sample = read_sample({"a": cells, "b": cells})
    signature = Signature(describe_columns(sample, {}), output=Output("regression"))
    written = tomllib.loads(tomli_w.dumps({"signature": signature.to_document(), "statistics": statistics(sample)}))
    assert Signature.from_document(written["signature"]) == signature
    assert written["statistics"] == statistics(sample)
    json.dumps(written["statistics"], allow_nan=False)


# -- statistics --------------------------------------------------------------------------------------------------------


def test_numbers_are_summed_up_without_what_is_missing_or_infinite() -> None:
    found = statistics(read_sample({"a": [1.0, 3.0, None, float("inf")]}))["a"]
    assert {key: found[key] for key in ("count", "nulls", "infinite", "minimum", "maximum", "mean", "std")} == {
        "count": 4, "nulls": 1, "infinite": 1, "minimum": 1.0, "maximum": 3.0, "mean": 2.0, "std": 1.0,
    }  # fmt: skip
    assert found["quantiles"]["0.5"] == 1.0
    assert found["quantiles"]["0.99"] == 3.0


def test_only_infinities_only_nulls_and_enormous_numbers_are_counted_without_a_fault() -> None:
    found = statistics(read_sample({"i": [float("inf")], "n": [None], "h": [1.7e308], "t": ["x"]}))
    assert found["i"] == {"count": 1, "nulls": 0, "infinite": 1}
    assert found["n"] == {"count": 1, "nulls": 1}
    huge = statistics(read_sample({"h": [1.7e308, 1.7e308]}))["h"]
    assert "mean" not in huge


def test_texts_booleans_and_moments_are_summed_up_in_their_own_way() -> None:
    found = statistics(
        read_sample(
            {
                "t": ["b", "a", "b", None],
                "f": [True, True, False, False],
                "m": [None, *[date(2026, 1, d) for d in (3, 1, 2)]],
            }
        )
    )
    assert found["t"] == {
        "count": 4, "nulls": 1, "distinct": 2, "min_length": 1, "max_length": 1,
        "top": [{"value": "b", "count": 2}, {"value": "a", "count": 1}],
    }  # fmt: skip
    assert found["f"] == {"count": 4, "nulls": 0, "mean": 0.5}
    assert (found["m"]["minimum"], found["m"]["maximum"]) == (
        "2026-01-01T00:00:00.000000Z",
        "2026-01-03T00:00:00.000000Z",
    )


def test_a_very_wide_example_keeps_no_quantiles() -> None:
    assert "quantiles" not in statistics(read_sample(np.ones((2, WIDE + 1))))["x0"]
    assert "quantiles" in statistics(read_sample(np.ones((2, WIDE))))["x0"]


# -- class names -------------------------------------------------------------------------------------------------------

_IRIS = Output("classification", classes=(0, 1, 2))


def test_class_names_come_by_order_or_by_class() -> None:
    names = ("setosa", "versicolor", "virginica")
    assert with_class_names(_IRIS, list(names)).class_names == names
    assert with_class_names(_IRIS, {2: "virginica", 0: "setosa", 1: "versicolor"}).class_names == names
    assert with_class_names(_IRIS, None) is _IRIS


@pytest.mark.parametrize(
    ("output", "names", "says"),
    [
        (_IRIS, ["a", "b"], "has 3 classes (0, 1, 2), and 2 class names were given"),
        (_IRIS, ["a", "b", "a"], "names a class twice"),
        (_IRIS, {0: "a", 1: "b"}, "no name for the class 2"),
        (Output("regression"), ["a"], "given for a regressor"),
        (Output("classification"), ["a"], "whose classes are not known"),
    ],
)
def test_class_names_that_do_not_fit_are_refused(output: Output, names: Any, says: str) -> None:
    with pytest.raises(PackagingError) as caught:
        with_class_names(output, names)
    assert says in caught.value.detail


def _outputs(*indices: int, names: tuple[str, ...] | None = None) -> Outputs:
    return Outputs(Output("classification", classes=(0, 1), class_names=names), indices=np.array(indices))


def test_labels_that_are_classes_are_counted() -> None:
    assert check_labels([0, 1, None], [0, 1, None], _outputs(0, 1, 1)) == (
        "2 of 3 example rows are predicted as the target column says",
    )


def test_labels_that_are_class_names_are_counted() -> None:
    assert check_labels(["no", "yes"], ["no", "yes"], _outputs(0, 1, names=("no", "yes")))[0].startswith("2 of 2")


def test_class_names_in_the_wrong_order_are_noticed() -> None:
    (note,) = check_labels(["no", "yes"], ["no", "yes", "no"], _outputs(0, 1, 0, names=("yes", "no")))
    assert "0 of 3" in note
    assert "wrong order? the rows suggest the class names no,yes" in note


def test_labels_of_another_kind_are_refused_with_the_names_they_suggest() -> None:
    with pytest.raises(PackagingError, match="holds 'no', 'yes', but the model's classes are 0, 1") as caught:
        check_labels(["no", "yes"], ["no", "yes"], _outputs(0, 1))
    assert caught.value.hint == "the rows suggest the class names no,yes (--class-names)"


def test_labels_that_suggest_nothing_are_refused_with_a_question() -> None:
    for outputs, labels in ((_outputs(0, 0), ["no", "yes"]), (_outputs(0, 1), ["no", "no"])):
        with pytest.raises(PackagingError) as caught:
            check_labels(labels, labels, outputs)
        assert caught.value.hint == "is this the column the model was trained to predict?"


def test_without_a_target_or_without_classes_there_is_nothing_to_say() -> None:
    assert check_labels(None, None, _outputs(0)) == ()
    assert check_labels([1.5], [1.5], Outputs(Output("regression"), values=np.array([1.5]))) == ()


# -- metadata ----------------------------------------------------------------------------------------------------------


def test_metadata_becomes_plain_values() -> None:
    given_metadata = {
        "accuracy": np.float64(0.5),
        "tags": ("a", "b"),
        "nested": {"rows": np.array([1, 2])},
        "none": None,
    }
    plain = plain_metadata(given_metadata)
    assert plain == {"accuracy": 0.5, "tags": ["a", "b"], "nested": {"rows": [1, 2]}}
    assert tomllib.loads(tomli_w.dumps(plain)) == plain


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"model": object()}, "metadata.model is a object"),
        ({"list": [1, {"x": b""}]}, r"metadata.list[1].x is a bytes"),
        ({1: 2}, "key 1; keys must be texts"),
    ],
)
def test_metadata_that_no_manifest_holds_is_refused_with_the_place(metadata: Any, says: str) -> None:
    with pytest.raises(PackagingError) as caught:
        plain_metadata(metadata)
    assert says in caught.value.detail


def test_metadata_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with pytest.raises(PackagingError, match="deeper than 16 levels"):
        plain_metadata(loop)


# -- versions ----------------------------------------------------------------------------------------------------------


def test_versions_of_what_is_installed_are_found_and_others_left_out() -> None:
    assert library_versions(["numpy", "no-such-library"]) == {
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    assert installed("xgboost") is not None, "xgboost-cpu answers for xgboost"


def test_patch_releases_are_no_skew_and_minor_ones_are() -> None:
    near = ".".join(np.__version__.split(".")[:2]) + ".999"
    assert skews({"numpy": near, "no-such-library": "1.0"}) == ()
    (skew,) = skews({"numpy": "1.0.0"})
    assert skew == Skew("numpy", "1.0.0", np.__version__)
    assert str(skew) == f"numpy was 1.0.0 at training, {np.__version__} runs here"
    assert [skew.library for skew in skews({"python": "2.7.18"})] == ["python"]
