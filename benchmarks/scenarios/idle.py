"""Memory of servers that have answered one request and wait."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from benchmarks.bench import Bench, Case, Figures
from benchmarks.machine import memory_mib
from benchmarks.servers import Recipe, Server


def memory(bench: Bench, stack: ExitStack) -> list[Case]:
    models = bench.models
    servers = {
        "empty": bench.start(stack, Recipe.empty()),
        "tutorial": bench.start(stack, Recipe.tutorial(models.iris)),
        "foretell iris": bench.start(stack, Recipe.foretell(models.iris_only)),
        "foretell examples": bench.start(stack, Recipe.foretell(models.repository)),
    }
    return [Case(f"memory/{name}", partial(usage, server)) for name, server in servers.items()]


def usage(server: Server) -> Figures:
    return {"memory_mib": memory_mib(server.pid)}
