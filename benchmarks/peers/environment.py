"""A virtual environment for each peer, built once with uv and kept in .cache/peers until `make clean`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.machine import ROOT
from benchmarks.peers.peer import APPS, SHARED, Peer
from benchmarks.servers import Recipe, clean_environment

CACHE = ROOT / ".cache" / "peers"
INSTALL_S = 900
PREPARE_S = 180


class PeerMissingError(RuntimeError):
    """A peer cannot be had here; the message is the reason, as short as pip and the peer let it be."""


def built(peer: Peer, cache: Path = CACHE) -> Path:
    """The folder with the peer's environment and its model in it. Raises PeerMissingError."""
    folder = cache / peer.name
    done = folder / "done"
    if done.exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = folder / "env" / "bin" / "python"
    step(uv("venv", "--quiet", "--python", sys.executable, str(folder / "env")), PREPARE_S)
    step(uv("pip", "install", "--quiet", "--python", str(python), *peer.requires, *SHARED), INSTALL_S)
    model = folder / "model"
    model.mkdir()
    step([str(python), str(APPS / "train.py"), str(model), peer.prepare], PREPARE_S)
    done.write_text(version(python, peer))
    return folder


def version(python: Path, peer: Peer) -> str:
    """The version that was installed."""
    name = peer.requires[0].partition("[")[0]
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return step([str(python), "-c", code], PREPARE_S).strip()


def recipe(peer: Peer, folder: Path) -> Recipe:
    """How to start it. A port in the environment is filled in when it is known, as in the command."""
    places = {"{bin}": str(folder / "env" / "bin"), "{folder}": str(folder / "model"), "{apps}": str(APPS)}

    def filled(text: str) -> str:
        for mark, place in places.items():
            text = text.replace(mark, place)
        return text

    variables = [f"{name}={filled(value)}" for name, value in peer.environment]
    path = f"PATH={folder / 'env' / 'bin'}:/usr/local/bin:/usr/bin:/bin"
    return Recipe(peer.name, ["env", path, *variables, *map(filled, peer.command)], {}, peer.probe)


def uv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "uv", *arguments]


def step(command: list[str], seconds: int) -> str:
    """Runs it to its end. Raises PeerMissingError with the last it said."""
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds, env=clean_environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissingError(f"{Path(command[0]).name}: {type(error).__name__} after {seconds} s at most") from error
    if run.returncode:
        said = [line.strip() for line in (run.stderr or run.stdout).splitlines() if line.strip()]
        raise PeerMissingError(" ".join(said[-3:])[-300:] or f"exit status {run.returncode}")
    return run.stdout
