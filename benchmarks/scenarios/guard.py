"""Single predictions with authentication and limits on, beside the same server with them off."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.bench import Bench, Case
from benchmarks.redis import RedisMissingError, redis_server
from benchmarks.scenarios.singles import IRIS_V1
from benchmarks.servers import Recipe
from benchmarks.wrk import Load
from foretell.core.access.grant import Grant
from foretell.core.access.rates import Rate
from foretell.core.access.scopes import Scope
from foretell.security.audit import Author
from foretell.security.keys import changes
from foretell.security.keys.opening import open_keys

KEYS = 10_000
AMPLE = (Rate(10**9, 60), Rate(10**12, 30 * 86_400, "rows"))
"""Limits that are counted and never reached."""


def guard(bench: Bench, stack: ExitStack) -> list[Case]:
    models = bench.models
    body = models.single(models.iris_rows)
    state = bench.folder / "guarded"
    secret = crowded(state, 20 if bench.quick else KEYS)
    ways = {
        "open": {"FORETELL_AUTH__MODE": "off"},
        "keys": {"FORETELL_AUTH__MODE": "on", "FORETELL_STATE": str(state)},
    }
    try:
        redis = stack.enter_context(redis_server(bench.folder))
    except RedisMissingError as missing:
        bench.console.print(f"  guard/redis: not measured: {missing}", markup=False)
    else:
        ways["redis"] = {**ways["keys"], "FORETELL_RATES__REDIS_URL": redis}
    servers = {
        way: bench.start(stack, Recipe.foretell(models.repository, settings=settings)) for way, settings in ways.items()
    }
    return [
        bench.load(f"guard/{way}/iris-v1/c{count}", Load(server.url(IRIS_V1), body, count, key=secret))
        for count in bench.connections(1, 16, 64)
        for way, server in servers.items()
    ]


def crowded(folder: Path, count: int) -> str:
    """Makes a state with so many keys in it, of which the one given back has limits."""
    shutil.rmtree(folder, ignore_errors=True)
    author, now_s = Author("cli:benchmark"), time.time()
    scopes: frozenset[Scope] = frozenset({"predict"})
    with open_keys(folder) as store, store.database.write() as connection:
        for number in range(count - 1):
            grant = Grant(f"other-{number}", f"tenant-{number % 100}", scopes)
            changes.create(connection, grant, store.pepper.digest, author, now_s, closes=True)
        grant = Grant("measured", "measured", scopes, frozenset({"iris"}), AMPLE)
        _, secret = changes.create(connection, grant, store.pepper.digest, author, now_s, closes=True)
    return secret
