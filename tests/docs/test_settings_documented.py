"""Every setting is documented where it stands, and the reference page is what the tree says."""

from __future__ import annotations

import pytest

from foretell.settings import leaves
from tools.generate_settings import PAGE, page


def test_the_reference_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: make reference"


@pytest.mark.parametrize("key", [key for key, _ in leaves()])
def test_every_setting_says_what_it_does(key: str) -> None:
    description = dict(leaves())[key].description
    assert description
    assert description.endswith(".")
    assert f"| `{key}` |" in page()
