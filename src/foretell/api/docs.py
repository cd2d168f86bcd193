"""The docs page: Swagger UI from files we ship, so that it works without a network."""

from __future__ import annotations

import html
import importlib.util
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from foretell.api.middleware.context import exchange_of
from foretell.api.security_schemes import origins
from foretell.errors import NotFound

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}
INIT = "init.js"

# Swagger UI sets style attributes and draws icons from data: addresses; scripts come from our files alone. ``origins``
# are where tokens of outside issuers are got
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'{origins}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="{root}/docs/assets/favicon-32x32.png">
<link rel="stylesheet" href="{root}/docs/assets/swagger-ui.css">
</head>
<body>
<div id="docs" data-openapi="{root}/openapi.json"></div>
<script src="{root}/docs/assets/swagger-ui-bundle.js"></script>
<script src="{root}/docs/assets/init.js"></script>
</body>
</html>
"""

_INIT = b"""\
const place = document.getElementById("docs");
const ui = SwaggerUIBundle({
  url: place.dataset.openapi,
  domNode: place,
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  persistAuthorization: false,
});
ui.initOAuth({ appName: "Foretell", scopes: [] });
"""


async def docs_page(request: Request) -> Response:
    """``GET /docs``."""
    page = _PAGE.format(title=html.escape(request.app.title), root=html.escape(request.scope.get("root_path", "")))
    asked = "".join(f" {origin}" for origin in origins(exchange_of(request.scope).services.settings))
    headers = {"content-security-policy": POLICY.format(origins=asked), "cache-control": "no-cache"}
    return Response(page, media_type="text/html", headers=headers)


async def docs_asset(request: Request) -> Response:
    """``GET /docs/assets/{name}``: one of a fixed list of names, whole (no ranges), cacheable for a day."""
    name = request.path_params["name"]
    headers = {"cache-control": "public, max-age=86400"}
    if name == INIT:
        return Response(_INIT, media_type="text/javascript", headers=headers)
    if name not in ASSETS:
        raise NotFound(f"There is no such file. There are: {', '.join([INIT, *ASSETS])}.")
    return Response(asset(name), media_type=ASSETS[name], headers=headers)


@cache
def asset(name: str) -> bytes:
    """One file of Swagger UI, as ``fastapi-swagger`` ships it; read once, the package itself is never imported."""
    found = importlib.util.find_spec("fastapi_swagger")
    if found is None or not found.submodule_search_locations:
        raise NotFound("The docs page needs the package fastapi-swagger, which is not installed.")
    return (Path(found.submodule_search_locations[0]) / "resources" / name).read_bytes()
