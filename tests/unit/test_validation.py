"""Binding: the same rules for every format, every fault named with its place, the class of the answer by the faults."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from foretell.codecs.csv import codec as csv
from foretell.codecs.json import codec as jsons
from foretell.core.cells import read_datetime
from foretell.core.faults import KEPT, listed, pointer, shown
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Output, Signature
from foretell.core.validation import bind
from foretell.core.values import Inputs, Matrix, Table
from foretell.errors import Fault, InvalidInput, MalformedRequest, ManifestError

LIMITS = BodyLimits(max_rows=5, max_text_chars=100)
IRIS_NAMES = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
IRIS = Signature(columns=tuple(map(Column, IRIS_NAMES)), output=Output("classification", (0, 1, 2)))
SHOP = Signature(
    columns=(
        Column("age", ColumnType.INTEGER, minimum=0, maximum=150),
        Column("plan", ColumnType.CATEGORY, categories=("gold", "silver"), closed=True),
        Column("city", ColumnType.CATEGORY, nullable=True, categories=("Bern", "Paris")),
        Column("name", ColumnType.STRING, nullable=True, max_length=5, pattern="^[a-z]+$"),
        Column("seen", ColumnType.DATETIME, nullable=True),
        Column("member", ColumnType.BOOLEAN, nullable=True),
        Column("spend", ColumnType.FLOAT, exclusive_minimum=-1, exclusive_maximum=1e6),
    )
)
GOOD_SHOP = [41, "gold", "Rome", "ann", "2026-11-20T10:30:00+01:00", True, 120.5]


def take(document: Any, signature: Signature = IRIS, many: bool = False) -> Inputs:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return bind(jsons.parse(body, many, LIMITS, {}), signature, LIMITS, "iris v1")


def take_csv(text: str, signature: Signature = IRIS, many: bool = True, **parameters: str) -> Inputs:
    return bind(csv.parse(text.encode(), many, LIMITS, parameters), signature, LIMITS, "iris v1")


def malformed(document: Any, signature: Signature = IRIS, many: bool = False) -> MalformedRequest:
    with pytest.raises(MalformedRequest) as caught:
        take(document, signature, many)
    return caught.value


def invalid(document: Any, signature: Signature = IRIS, many: bool = False) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        take(document, signature, many)
    return caught.value


def shop(**changes: Any) -> dict[str, Any]:
    return {**dict(zip(SHOP.names, GOOD_SHOP, strict=True)), **changes}


def test_a_wrong_feature_count_reads_as_the_contract_has_it() -> None:
    error = malformed({"features": [1, 2, 3]})
    assert error.instance_code == "wrong_feature_count"
    assert error.instance_title == "Wrong number of features"
    assert error.detail == "Model iris v1 takes 4 features, got 3."
    (fault,) = error.faults
    assert fault.message.startswith("expected 4 values: sepal length (cm), ")
    assert (fault.pointer, fault.expected, fault.got) == ("/features", 4, 3)


def test_one_feature_is_not_features() -> None:
    one = Signature(columns=(Column("x"),))
    assert malformed({"features": [1, 2]}, one).detail == "Model iris v1 takes 1 feature, got 2."


def test_every_form_gives_the_same_values() -> None:
    values = [5.1, 3.5, 1.4, 0.2]
    by_name = dict(zip(IRIS_NAMES, values, strict=True))
    single = [take({"features": values}), take({"features": by_name}), take(by_name)]
    single.append(take({"model_version": "v1", **by_name}))
    single.append(take_csv("5.1,3.5,1.4,0.2", many=False))
    single.append(take_csv(f"{','.join(reversed(IRIS_NAMES))}\r\n0.2,1.4, 3.5 ,5.1\r\n", many=False))
    single += [take({key: [row]}, many=True) for key in ("features", "instances") for row in (values, by_name)]
    for inputs in single:
        assert isinstance(inputs, Matrix)
        assert inputs.values.dtype == np.float64
        assert inputs.values.flags.c_contiguous
        assert inputs.values.tolist() == [values]


def test_lists_and_objects_may_stand_side_by_side() -> None:
    inputs = take({"features": [[1, 2, 3, 4], dict(zip(IRIS_NAMES, (1, 2, 3, 4), strict=True))]}, many=True)
    assert isinstance(inputs, Matrix)
    assert inputs.values.tolist() == [[1, 2, 3, 4], [1, 2, 3, 4]]


def test_mixed_columns_become_a_table() -> None:
    inputs = take({"features": [GOOD_SHOP, shop(city=None, name=None, seen=None, member=None)]}, SHOP, many=True)
    assert isinstance(inputs, Table)
    assert inputs.columns["age"].tolist() == [41, 41]
    assert inputs.columns["age"].dtype == np.int64
    assert inputs.columns["plan"].tolist() == ["gold", "gold"]
    assert inputs.columns["city"].tolist() == ["Rome", None]
    assert inputs.columns["seen"][0] == np.datetime64("2026-11-20T09:30:00", "us")
    assert np.isnat(inputs.columns["seen"][1])
    assert inputs.columns["member"][0] == 1.0
    assert np.isnan(inputs.columns["member"][1])


def test_csv_and_json_agree_on_mixed_columns() -> None:
    header, first = "age,plan,city,name,seen,member,spend", "41,gold,Rome,ann,2026-11-20T10:30:00+01:00,TRUE,120.5"
    text = f"{header}\n{first}\n41.0,gold,,,,0,1e2\n"
    rows = [GOOD_SHOP, [41.0, "gold", None, None, None, False, 100]]
    left, right = take_csv(text, SHOP), take({"features": rows}, SHOP, many=True)
    assert isinstance(left, Table)
    assert isinstance(right, Table)
    for name in SHOP.names:
        assert left.columns[name].tolist() == right.columns[name].tolist() or name in ("seen",)
        assert left.columns[name].tobytes() == right.columns[name].tobytes() or left.columns[name].dtype == object


def test_a_nullable_column_may_be_left_out_of_an_object() -> None:
    inputs = take({"age": 1, "plan": "gold", "spend": 1}, SHOP)
    assert isinstance(inputs, Table)
    assert inputs.columns["city"].tolist() == [None]


@pytest.mark.parametrize(
    ("change", "code", "value"),
    [
        ({"age": "41"}, "wrong_type", '"41"'),
        ({"age": True}, "wrong_type", "true"),
        ({"age": 41.5}, "wrong_type", "41.5"),
        ({"age": None}, "null_not_allowed", None),
        ({"age": -1}, "out_of_bounds", "-1"),
        ({"age": 151}, "out_of_bounds", "151"),
        ({"age": 2**63}, "out_of_range", str(2**63)),
        ({"age": 1e300}, "out_of_range", "1e+300"),
        ({"plan": "gald"}, "unknown_category", '"gald"'),
        ({"plan": 1}, "wrong_type", "1"),
        ({"name": "abcdef"}, "text_too_long", '"abcdef"'),
        ({"name": "Ann"}, "pattern_mismatch", '"Ann"'),
        ({"city": "x" * 101}, "text_too_long", '"' + "x" * 62 + "…"),
        ({"seen": "2026-11-20"}, "invalid_datetime", '"2026-11-20"'),
        ({"seen": "2026-11-20T10:30:00"}, "invalid_datetime", '"2026-11-20T10:30:00"'),
        ({"seen": 1}, "wrong_type", "1"),
        ({"member": 1}, "wrong_type", "1"),
        ({"member": "true"}, "wrong_type", '"true"'),
        ({"spend": -1}, "out_of_bounds", "-1"),
        ({"spend": 1e6}, "out_of_bounds", "1000000.0"),
        ({"spend": -17976931348623157 * 10**292 - 1}, "out_of_range", "-17976931348623157" + "0" * 45 + "…"),
        ({"spend": 10**309}, "out_of_range", "1" + "0" * 62 + "…"),
        ({"spend": [1, {"a": None}]}, "wrong_type", '[1, {"a": null}]'),
        ({"spend": {"a": "x" * 100}}, "wrong_type", '{"a": "' + "x" * 56 + "…"),
    ],
)
def test_a_wrong_value_is_refused_with_its_code_place_and_value(change: dict[str, Any], code: str, value: str) -> None:
    (name,) = change
    for error, place, row in (
        (invalid(shop(**change), SHOP), f"/{name}", None),
        (invalid({"features": list(shop(**change).values())}, SHOP), f"/features/{SHOP.names.index(name)}", None),
        (invalid({"instances": [GOOD_SHOP, shop(**change)]}, SHOP, many=True), f"/instances/1/{name}", 1),
    ):
        (fault,) = error.faults
        assert (fault.code, fault.pointer, fault.value, fault.row) == (code, place, value, row)
        assert fault.message.startswith(name)
        assert error.instance_code == code
        assert error.instance_title != InvalidInput.title


@pytest.mark.parametrize(
    ("text", "code", "kind"),
    [
        ("NaN", "not_finite", InvalidInput),
        ("-Infinity", "not_finite", InvalidInput),
        ("1e999", "out_of_range", InvalidInput),
        ("9" * 401, "number_too_long", MalformedRequest),
    ],
)
def test_numbers_that_are_none_are_refused_with_their_place(text: str, code: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        take(f'{{"features": [1, 2, {text}, 4]}}'.encode())
    (fault,) = caught.value.faults  # type: ignore[attr-defined]
    assert (fault.code, fault.pointer) == (code, "/features/2")
    assert len(fault.value) <= 64


def test_numbers_that_are_none_are_shown_inside_other_values() -> None:
    assert invalid(b'{"features": [1, 2, 3, [NaN]]}').faults[0].value == '["NaN"]'


def test_a_suggestion_comes_with_a_misspelt_category_column_and_key() -> None:
    assert invalid(shop(plan="gald"), SHOP).faults[0].suggestion == "gold"
    error = invalid({**shop(), "spent": 1}, SHOP)
    assert error.faults[0].suggestion == "spend"
    assert "Did you mean 'spend'?" in error.detail
    beside = invalid({"features": [1, 2, 3, 4], "model_versoin": "v1"})
    assert (beside.instance_code, beside.faults[0].suggestion) == ("unknown_field", "model_version")


def test_a_column_beside_features_is_told_where_it_belongs() -> None:
    error = invalid({"features": [1, 2, 3, 4], "petal width (cm)": 1})
    assert "belongs inside" in error.faults[0].message


def test_missing_and_unknown_columns_are_all_named() -> None:
    error = invalid({"features": {"sepal lenght (cm)": 1, "sepal width (cm)": 2, "petal length (cm)": "3"}})
    found = {(fault.code, fault.pointer) for fault in error.faults}
    assert found == {
        ("unknown_column", "/features/sepal lenght (cm)"),
        ("missing_column", "/features/sepal length (cm)"),
        ("missing_column", "/features/petal width (cm)"),
        ("wrong_type", "/features/petal length (cm)"),
    }
    assert error.instance_code == "invalid_input"
    assert "4 faults in all" in error.detail


def test_reserved_names_are_columns_only_inside_features() -> None:
    signature = Signature(columns=(Column("features"), Column("model_version", nullable=True)))
    assert take({"features": {"features": 1, "model_version": 2}}, signature).count == 1
    assert take({"features": [1, None]}, signature).count == 1
    assert malformed({"features": 1}, signature).instance_code == "wrong_shape"


def test_a_body_without_features_says_what_to_send() -> None:
    error = malformed({"data": [1, 2, 3, 4]})
    assert error.instance_code == "features_missing"
    assert "the body has data" in error.detail
    assert "sepal length (cm)" in error.detail
    assert "empty object" in malformed({}).detail
    assert malformed({"feature": [1, 2, 3, 4]}).faults[0].suggestion == "features"


def test_made_up_names_are_no_top_level_form() -> None:
    unnamed = Signature(columns=(Column("x0"),), named=False)
    assert malformed({"x0": 1}, unnamed).instance_code == "features_missing"
    assert take({"features": {"x0": 1}}, unnamed).count == 1


def test_a_model_whose_columns_may_all_be_left_out_takes_an_empty_object() -> None:
    signature = Signature(columns=(Column("a", nullable=True),))
    inputs = take({}, signature)
    assert isinstance(inputs, Matrix)
    assert np.isnan(inputs.values).all()
    assert invalid({"b": 1}, signature).instance_code == "unknown_column"


@pytest.mark.parametrize("features", [None, 1, "x", True])
def test_features_that_are_no_row_are_refused(features: Any) -> None:
    assert malformed({"features": features}).instance_code == "wrong_shape"
    assert malformed({"features": features}, many=True).instance_code == "wrong_shape"


def test_a_body_for_the_other_path_is_sent_there() -> None:
    assert "/predict/batch" in malformed({"features": [[1, 2, 3, 4]]}).detail
    assert malformed({"features": [[1, 2, 3, 4]]}).instance_code == "single_expected"
    for features in ([1, 2, 3, 4], dict.fromkeys(IRIS_NAMES, 1)):
        error = malformed({"features": features}, many=True)
        assert error.instance_code == "batch_expected"
        assert "/predict" in error.detail


def test_no_rows_and_too_many_rows_are_refused() -> None:
    assert malformed({"features": []}, many=True).instance_code == "no_rows"
    error = malformed({"features": [[1, 2, 3, 4]] * 6}, many=True)
    assert error.instance_code == "too_many_rows"
    assert error.detail == "At most 5 rows are taken in one request, got 6; send them in parts."


def test_ragged_rows_are_named_one_by_one() -> None:
    error = malformed({"features": [[1, 2, 3, 4], [1, 2], [1, 2, 3, 4, 5]]}, many=True)
    assert error.instance_code == "ragged_rows"
    assert [(fault.row, fault.got, fault.pointer) for fault in error.faults] == [
        (1, 2, "/features/1"),
        (2, 5, "/features/2"),
    ]


def test_rows_all_of_one_wrong_length_are_one_fault() -> None:
    error = malformed({"features": [[1, 2, 3]] * 5}, many=True)
    assert (error.instance_code, error.faults_total) == ("wrong_feature_count", 1)


def test_a_row_that_is_neither_list_nor_object_is_named() -> None:
    error = malformed({"features": [[1, 2, 3, 4], 5]}, many=True)
    assert [(fault.code, fault.row) for fault in error.faults] == [("wrong_shape", 1)]


def test_one_unreadable_fault_makes_the_whole_malformed_and_comes_first() -> None:
    error = malformed(b'{"features": [1, "x", ' + b"9" * 500 + b", null]}")
    assert error.instance_code == MalformedRequest.code
    assert [fault.readable for fault in error.faults] == [False, True, True]


def test_all_faults_are_counted_and_the_first_kept() -> None:
    wide = Signature(columns=tuple(Column(f"c{i}") for i in range(100)))
    error = invalid({"features": [None] * 100}, wide)
    assert error.faults_total == 100
    assert len(error.faults) == KEPT


def test_faults_of_the_document_are_told_with_those_of_the_values() -> None:
    error = invalid({"features": [1, 2, 3, "4"], "model_version": None})
    assert [fault.pointer for fault in error.faults] == ["/model_version", "/features/3"]


def test_suggestions_are_given_up_where_they_would_cost_too_much() -> None:
    wide = Signature(columns=tuple(Column(f"column number {i}") for i in range(9000)))
    values = {f"column numbre {i}": 1 for i in range(40)}
    error = invalid({"features": values}, wide)
    assert sum(fault.suggestion is not None for fault in error.faults) <= 2


def test_zero_has_no_sign_in_a_whole_number() -> None:
    inputs = take(b'{"features": [-0, -0.0]}', Signature(columns=(Column("a"), Column("b", ColumnType.INTEGER))))
    assert isinstance(inputs, Matrix)
    assert not np.signbit(inputs.values).any()


# -- CSV ---------------------------------------------------------------------------------------------------------------


def csv_error(text: str, signature: Signature = IRIS, many: bool = True, **parameters: str) -> Any:
    with pytest.raises((MalformedRequest, InvalidInput)) as caught:
        take_csv(text, signature, many, **parameters)
    return caught.value


def test_a_header_by_name_in_any_order_is_recognised() -> None:
    inputs = take_csv("petal width (cm), petal length (cm),sepal width (cm),sepal length (cm)\n1,2,3,4\n")
    assert isinstance(inputs, Matrix)
    assert inputs.values.tolist() == [[4, 3, 2, 1]]


def test_without_a_header_fields_are_taken_by_position() -> None:
    inputs = take_csv("1,2,3,4\n5,6,7,8")
    assert isinstance(inputs, Matrix)
    assert inputs.values.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_the_content_type_may_say_whether_there_is_a_header() -> None:
    names = Signature(columns=(Column("plan", ColumnType.STRING),))
    absent, present = take_csv("plan\ngold", names, header="absent"), take_csv("plan\ngold", names, header="present")
    assert absent.count == 2
    assert present.count == 1
    assert csv_error("1,2,3,4\n1,2,3,4", header="present").faults[0].code == "unknown_column"


def test_a_first_record_without_any_number_is_a_header_with_wrong_names() -> None:
    error = csv_error("a,b,c,d\n1,2,3,4")
    assert {fault.code for fault in error.faults} == {"unknown_column", "missing_column"}
    assert csv_error("x,1,2,3\n1,2,3,4").faults[0].code == "wrong_type"


def test_made_up_names_make_a_header_only_together() -> None:
    unnamed = Signature(columns=(Column("x0", ColumnType.STRING), Column("x1", ColumnType.STRING)), named=False)
    assert take_csv("x1,x0\na,b", unnamed).count == 1
    assert take_csv("x1,y\na,b", unnamed).count == 2


def test_faults_of_a_header_are_named() -> None:
    error = csv_error("age,plan,spned,age\n1,gold,2,3", SHOP)
    found = {(fault.code, fault.pointer) for fault in error.faults}
    assert found == {
        ("unknown_column", "/header/spned"),
        ("column_repeated", "/header/age"),
        ("missing_column", "/header/spend"),
    }
    assert isinstance(error, MalformedRequest)


def test_records_must_have_as_many_fields_as_the_header() -> None:
    error = csv_error("age,plan,spend\n1,gold,1\n1,gold", SHOP)
    assert [(fault.code, fault.row, fault.pointer) for fault in error.faults] == [("ragged_rows", 1, "/rows/1")]


def test_records_without_a_header_must_have_a_field_for_each_column() -> None:
    assert csv_error("1,2,3").detail == "Model iris v1 takes 4 features, got 3."
    assert csv_error("1,2,3\n1,2,3,4").instance_code == "ragged_rows"


@pytest.mark.parametrize("text", ["nan", "NaN", "-inf", "Infinity"])
def test_numbers_that_are_not_finite_are_refused_in_csv(text: str) -> None:
    assert csv_error(f"1,2,3,{text}").instance_code == "not_finite"


@pytest.mark.parametrize("text", ["+1", "01", "1.", ".5", "0x1", "1_000", '"1,5"', "1 2", "٣", "1e", "true"])
def test_what_is_no_json_number_is_no_number_in_csv(text: str) -> None:
    (fault,) = csv_error(f"1,2,3,{text}").faults
    assert (fault.code, fault.pointer, fault.row) == ("wrong_type", "/rows/0/petal width (cm)", 0)


@pytest.mark.parametrize(("text", "value"), [("true", 1), ("FALSE", 0), ("1", 1), (" 0 ", 0), ("", None), ("  ", None)])
def test_booleans_in_csv(text: str, value: float | None) -> None:
    signature = Signature(columns=(Column("a"), Column("b", ColumnType.BOOLEAN, nullable=True)))
    inputs = take_csv(f"1,{text}", signature)
    assert isinstance(inputs, Matrix)
    assert inputs.values[0, 1] == value or (value is None and np.isnan(inputs.values[0, 1]))


def test_an_empty_field_is_null() -> None:
    assert csv_error("1,2,,4").instance_code == "null_not_allowed"
    nullable = Signature(columns=(Column("x", nullable=True), Column("s", ColumnType.STRING, nullable=True)))
    inputs = take_csv('1,""\n ,x', nullable)
    assert isinstance(inputs, Table)
    assert inputs.columns["s"].tolist() == [None, "x"]
    assert np.isnan(inputs.columns["x"][1])


@pytest.mark.parametrize("text", ["2026-11-20T10:30:00Z", " 2026-11-20 10:30:00+00:00 "])
def test_a_date_and_time_in_csv_may_have_a_blank_for_the_t(text: str) -> None:
    inputs = take_csv(f"1,{text}", Signature(columns=(Column("x"), Column("t", ColumnType.DATETIME))))
    assert isinstance(inputs, Table)
    assert inputs.columns["t"][0] == np.datetime64("2026-11-20T10:30:00", "us")


def test_texts_keep_their_blanks_in_csv() -> None:
    inputs = take_csv("1, a \n", Signature(columns=(Column("x"), Column("s", ColumnType.STRING))))
    assert isinstance(inputs, Table)
    assert inputs.columns["s"].tolist() == [" a "]


def test_counts_of_rows_hold_in_csv() -> None:
    row = "1,2,3,4\n"
    assert csv_error(row * 2, many=False).instance_code == "single_expected"
    assert csv_error(",".join(IRIS_NAMES)).instance_code == "no_rows"
    assert take_csv(row * 5).count == 5
    error = csv_error(row * 6)
    assert (error.instance_code, "got more" in error.detail) == ("too_many_rows", True)


# -- small parts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-20T10:30:00Z", datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        ("2026-11-20t10:30:00z", datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        ("2026-11-20T10:30:00-02:30", datetime(2026, 11, 20, 13, 0, tzinfo=UTC)),
        ("2026-11-20 10:30:00Z", None),
        ("2026-11-20T10:30:00.1234567Z", datetime(2026, 11, 20, 10, 30, 0, 123456, tzinfo=UTC)),
        ("2026-11-20T10:30:00.5Z", datetime(2026, 11, 20, 10, 30, 0, 500000, tzinfo=UTC)),
        ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC)),
        ("2026-11-20T10:30:00", None),
        ("2026-11-20", None),
        ("2026-02-30T00:00:00Z", None),
        ("2026-11-20T24:00:00Z", None),
        ("2026-11-20T10:30:00+24:00", None),
        ("2026-11-20T10:30:61Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("9999-12-31T23:59:60Z", None),
        ("２026-11-20T10:30:00Z", None),
        ("2026-11-20T10:30:00Z\n", None),
        ("", None),
    ],
)
def test_datetimes_are_rfc_3339_with_an_offset(text: str, moment: datetime | None) -> None:
    assert read_datetime(text) == moment


def test_pointers_are_escaped_and_clipped() -> None:
    assert pointer(("a/b", "c~d", 0)) == "/a~1b/c~0d/0"
    assert len(pointer(("x" * 1000,))) == 65


def test_lists_of_names_are_clipped() -> None:
    assert listed(["a", "b"]) == "a, b"
    assert listed([f"name {i}" for i in range(1000)]).endswith(", ...")
    assert len(listed(["x" * 1000, "y"])) < 100


def test_values_are_shown_as_json_and_clipped() -> None:
    assert shown({"a": [1, None, "é"]}) == '{"a": [1, null, "é"]}'
    assert shown('a"b') == '"a\\"b"'
    assert len(shown(["x" * 10**6] * 10)) == 64


@pytest.mark.parametrize("codec", [jsons, csv])
def test_a_pattern_is_not_searched_for_in_a_text_of_any_length(codec: Any) -> None:
    signature = Signature((Column("a", ColumnType.STRING, pattern="[a-z]+@"),), output=Output("regression"))
    for length, code in ((1000, "pattern_mismatch"), (1_000_000, "text_too_long")):
        text = "a" * length
        body = json.dumps({"features": [text]}).encode() if codec is jsons else b"a\n" + text.encode()
        began_s = time.process_time()
        with pytest.raises(InvalidInput) as caught:
            limits = BodyLimits()
            bind(codec.parse(body, False, limits, {}), signature, limits, "shop v1")
        assert [fault.code for fault in caught.value.faults] == [code]
        assert time.process_time() - began_s < 1
    bound = Column("a", ColumnType.STRING, pattern="[a-z]+@", max_length=5000)
    assert (bound.longest(10_000), bound.longest(100)) == (5000, 100)


def test_a_pattern_that_is_none_is_refused_with_the_signature() -> None:
    with pytest.raises(ManifestError, match="no regular expression"):
        Column("a", ColumnType.STRING, pattern="(")


def test_no_message_holds_the_offending_value() -> None:
    secret = "hunter2"
    bodies = [
        {"features": [secret, 1, 1, 1]},
        shop(plan=secret),
        shop(name=secret),
        shop(seen=secret),
        shop(age=secret),
    ]
    for body in bodies:
        error = invalid(body, IRIS if "features" in body else SHOP)
        assert secret not in error.detail
        assert all(isinstance(fault, Fault) and secret not in fault.message for fault in error.faults)
