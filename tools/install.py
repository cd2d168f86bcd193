"""Fills .venv from a hashed lock and installs the project into it: `python tools/install.py serve|dev`.

Runs on the bare Python of a fresh machine, so it uses the standard library only.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NAME = re.compile(r"^(?:Collecting|Requirement already satisfied:) ([A-Za-z0-9._-]+)==")


def main(lock_name: str) -> int:
    lock = ROOT / "requirements" / f"{lock_name}.txt"
    if not whole():
        say(f"Making .venv with Python {'.'.join(map(str, sys.version_info[:3]))}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    started_s = time.monotonic()
    count = len(re.findall(r"^[a-z0-9][^\n]*==", lock.read_text(), re.MULTILINE))
    say(f"Installing what requirements/{lock_name}.txt locks: up to {count} packages, a minute or two the first time")
    install = ["install", "--require-hashes", "--only-binary", ":all:", "-r", str(lock)]
    if not pip(install, count):
        say("The packages could not be installed; pip says why above. Once that is mended, run make again.")
        return 1
    if not pip(["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--editable", str(ROOT)], 0):
        say("The project itself could not be installed; pip says why above.")
        return 1
    say(f"Ready after {time.monotonic() - started_s:.0f} s")
    return 0


def whole() -> bool:
    """Whether .venv has a Python that starts and has pip: not after an interrupted start or a system upgrade."""
    command = [str(PYTHON), "-m", "pip", "--version"]
    return PYTHON.exists() and subprocess.run(command, capture_output=True, check=False).returncode == 0


def pip(arguments: list[str], count: int) -> bool:
    """Runs pip, showing which package it is at; its errors and warnings go through. True where it succeeded."""
    command = [
        str(PYTHON),
        "-m",
        "pip",
        *arguments,
        "--no-input",
        "--disable-pip-version-check",
        "--progress-bar",
        "off",
    ]
    terminal, seen = sys.stdout.isatty(), 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if match := NAME.match(line):
                seen += 1
                if terminal:
                    print(f"\r\x1b[2K  {seen}/{count} {match[1]}", end="", flush=True)
                elif seen % 20 == 0:
                    print(f"  {seen}/{count} ...", flush=True)
            elif line.startswith("Installing collected"):
                print(f"{chr(13) + chr(27) + '[2K' if terminal else ''}  unpacking ...", flush=True)
    return process.returncode == 0


def say(text: str) -> None:
    print(f"foretell setup: {text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1]))
