"""The docs page's Authorize button, in a browser: by a key, and by a key's id and text for a token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from foretell.core.access.grant import Grant
from foretell.security.audit import Author
from foretell.security.keys.opening import open_keys
from tests.e2e.models import Repository
from tests.e2e.process import Serving, serving
from tests.tooling import find_tool, miss

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


@pytest.fixture(scope="module")
def guarded(repository: Repository, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Serving, str, str]]:
    """A server with a key, its id and its text."""
    folder = tmp_path_factory.mktemp("guarded")
    options: dict[str, Any] = {"default_model": "iris", "auth__mode": "on"}
    with serving(repository.models, folder, **options) as server, open_keys(folder / "state") as store:
        record, key = store.create(Grant("browser", "browser", frozenset({"predict"})), Author("cli:test"))
        yield server, record.id, key


@pytest.fixture
def page(guarded: tuple[Serving, str, str]) -> Iterator[Any]:
    chromium = find_tool("chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        miss("playwright is not installed: pip install playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1400, "height": 1400})
        opened.set_default_timeout(60_000)
        opened.goto(f"{guarded[0].url}/docs")
        opened.wait_for_selector("text=One prediction")
        yield opened
        browser.close()


def authorised(page: Any, scheme: str, fill: Callable[[Any], None]) -> None:
    page.click(".scheme-container button.authorize")
    form = page.locator(".auth-container", has=page.locator(f"h4:has-text('{scheme}')")).first
    fill(form)
    form.locator("button.authorize").click()
    form.locator("button:has-text('Logout')").wait_for()
    page.click(".modal-ux button.btn-done")


def asked(page: Any) -> int:
    """The status that `POST /predict` is answered when it is tried with its example."""
    operation = page.locator("[id='operations-predict-predict_predict']").first
    operation.locator(".opblock-summary-control").click()
    operation.locator("textarea").first.wait_for()  # drawn after the button, which does nothing before
    with page.expect_response(lambda answer: answer.url.partition("?")[0].endswith("/predict")) as found:
        operation.locator("button.execute").click()
    return int(found.value.status)


def test_without_authorising_nobody_predicts(page: Any) -> None:
    assert asked(page) == 401


@pytest.mark.parametrize("scheme", ["apiKey", "bearer"])
def test_a_key_authorises(page: Any, guarded: tuple[Serving, str, str], scheme: str) -> None:
    authorised(page, scheme, lambda form: form.locator("input").first.fill(guarded[2]))
    assert asked(page) == 200


def test_a_keys_id_and_text_get_a_token_that_authorises(page: Any, guarded: tuple[Serving, str, str]) -> None:
    def fill(form: Any) -> None:
        form.locator("input[data-name='clientId'], #client_id_clientCredentials").first.fill(guarded[1])
        form.locator("input[data-name='clientSecret'], #client_secret_clientCredentials").first.fill(guarded[2])

    with page.expect_response(lambda answer: answer.url.endswith("/oauth/token")) as traded:
        authorised(page, "clientCredentials", fill)
    assert traded.value.status == 200
    assert asked(page) == 200
