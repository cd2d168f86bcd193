"""A virtual environment for each peer, built once with uv and kept in .cache/peers until `make clean`."""

from __future__ import annotations

import hashlib
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
START_S = 180.0
"""Ray Serve starts eleven processes, which takes a minute where the core is shared."""
LOCKED_FOR = "3.11"
TRAIN = APPS / "train.py"


class PeerMissingError(RuntimeError):
    """A peer cannot be had here; the message is the reason, as short as uv and the peer let it be."""


def built(peer: Peer, cache: Path = CACHE) -> Path:
    """The folder with the peer's environment and its model in it. Raises PeerMissingError."""
    folder = cache / peer.home
    done, stamp = folder / "done", digest(peer)
    if done.exists() and done.read_text() == stamp:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = folder / "env" / "bin" / "python"
    # Relocatable: the scripts find their Python beside them, so that the cache may be moved or copied.
    step(uv("venv", "--quiet", "--relocatable", "--python", sys.executable, str(folder / "env")), PREPARE_S)
    step(uv("pip", "sync", "--quiet", "--python", str(python), str(peer.lock)), INSTALL_S)
    model = folder / "model"
    model.mkdir()
    step([str(python), str(TRAIN), str(model), peer.prepare], PREPARE_S)
    done.write_text(stamp)
    return folder


def digest(peer: Peer) -> str:
    """What an environment was built from."""
    return hashlib.sha256(peer.lock.read_bytes() + TRAIN.read_bytes() + peer.prepare.encode()).hexdigest()


def lock(peer: Peer) -> None:
    """Writes the peer's lock anew. Raises PeerMissingError where its requirements cannot be met together."""
    wanted = peer.lock.with_suffix(".in")
    wanted.write_text("\n".join((peer.requires, *peer.extras, *SHARED)) + "\n")
    options = ("--quiet", "--no-config", "--no-header", "--no-annotate", "--upgrade", "--python-version", LOCKED_FOR)
    try:
        step(uv("pip", "compile", *options, str(wanted), "-o", str(peer.lock)), INSTALL_S)
    finally:
        wanted.unlink()


def recipe(peer: Peer, folder: Path, home: Path) -> Recipe:
    """How to start it. A port in the environment is filled in when it is known, as in the command.

    ``home`` is its home directory: Ray writes a token there and BentoML its store.
    """
    places = {"{bin}": str(folder / "env" / "bin"), "{folder}": str(folder / "model"), "{apps}": str(APPS)}

    def filled(text: str) -> str:
        for mark, place in places.items():
            text = text.replace(mark, place)
        return text

    variables = [f"{name}={filled(value)}" for name, value in peer.environment]
    variables += [f"PATH={folder / 'env' / 'bin'}:/usr/local/bin:/usr/bin:/bin", f"HOME={home}"]
    return Recipe(peer.name, ["env", *variables, *map(filled, peer.command)], {}, peer.probe, START_S)


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
