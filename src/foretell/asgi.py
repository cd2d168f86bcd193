"""``foretell.asgi:app`` for any ASGI server. Settings are read at import, models are loaded when the server starts."""

from __future__ import annotations

import sys

from foretell.api.app import create_app
from foretell.bootstrap import open_services
from foretell.errors import SettingsError
from foretell.settings import Settings

START_FAILED = 3
"""The exit code by which uvicorn and gunicorn know that starting the same worker again would fail again."""

try:
    _settings = Settings.load()
except SettingsError as error:
    sys.stderr.write(f"foretell: {error.title}: {error.detail}\n")
    raise SystemExit(START_FAILED) from None

app = create_app(_settings, open_services)
