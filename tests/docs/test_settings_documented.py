"""Every setting is documented where it stands, and the reference page is what the tree says."""

from __future__ import annotations

import pytest

from foretell.settings import leaves
from foretell.settings_issuers import Issuer
from tools import generate_issuers
from tools.generate_settings import PAGE, page


def test_the_reference_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make reference"


@pytest.mark.parametrize("key", [key for key, _ in leaves()])
def test_every_setting_says_what_it_does(key: str) -> None:
    description = dict(leaves())[key].description
    assert description
    assert description.endswith(".")
    assert f"| `{key}` |" in page()


def test_the_settings_of_an_issuer_are_documented_where_they_are_explained() -> None:
    assert generate_issuers.PAGE.read_text(encoding="utf-8") == generate_issuers.page(), "run: make reference"
    assert all(f"| `{name}` |" in generate_issuers.page() for name in Issuer.model_fields)
