"""What the settings of rates may say."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from foretell.settings import Rates, Settings


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("100/s", ("100/s",)),
        (" 100/s , 1M/month", ("100/s", "1000000/month")),
        (["5k rows/h"], ("5000 rows/h",)),
        ("none", ()),
        ("", ()),
        ([], ()),
    ],
)
def test_rates_are_read_from_texts_and_lists(given: Any, kept: tuple[str, ...]) -> None:
    assert Rates(per_key=given, anonymous=given).per_key == Rates(anonymous=given).anonymous == kept


@pytest.mark.parametrize("given", ["often", "0/s", 7, [7], {"a": "1/s"}, ",".join(["1/s"] * 17)])
def test_what_is_no_rate_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError, match=r"rate"):
        Rates(per_tenant=given)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("iris=100/s, iris=1M/day, churn=10/s", {"iris": ("100/s", "1000000/day"), "churn": ("10/s",)}),
        ({"iris": "100/s, 1M/day"}, {"iris": ("100/s", "1000000/day")}),
        ({"iris": ["100/s"]}, {"iris": ("100/s",)}),
        ("", {}),
    ],
)
def test_rates_of_models_are_tables(given: Any, kept: dict[str, tuple[str, ...]]) -> None:
    assert Rates(per_model=given).per_model == kept


@pytest.mark.parametrize("given", ["iris", 7, "a b=1/s", {"../x": "1/s"}, {"iris": "often"}, {"iris": 7}])
def test_what_is_no_table_of_rates_is_refused(given: Any) -> None:
    with pytest.raises(ValidationError):
        Rates(per_model=given)


def test_workers_get_them_as_they_are() -> None:
    settings = Settings(rates=Rates(per_model={"iris": ("100/s",)}, per_key=("1/s",), anonymous=()))
    assert Settings.from_export(settings.export()).rates == settings.rates
