"""A pytest plugin: secrets are planted throughout the suite, and the run fails where one of them comes out.

*Planted*: each request of the tests' own clients carries one in a cookie and in a header that nobody knows; each server
that is a process of its own has one among its settings, and one in its environment that is none of ours. The keys
and tokens that tests call with are looked for as well.
*Looked at*: every answer these clients get; what each server wrote, the command lines of its processes and the
environment of those it started; what a test printed and logged; every file that the run left behind.
"""

from __future__ import annotations

import mmap
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

MARK = "cAnArY-9f27d1c4"
"""Stands at the front of each, so that a clipped one is found, too. All its characters pass through URLs and JSON."""
COOKIE = f"session={MARK}-cookie"
UNKNOWN_HEADER = f"{MARK}-header"
SETTING = f"{MARK}-setting-long-enough-to-sign-with"
FOREIGN_VARIABLE = "PARTNER_PASSWORD"
FOREIGN = f"{MARK}-environment"
PLANTED = re.compile(r"canary-planted")
"""A file or folder of this name holds one on purpose."""
CREDENTIALS = re.compile(rb"ft_[a-z0-9]{8}_[A-Za-z0-9_-]{16,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{16,}")
"""Whole API keys and signed tokens: no log may hold one, whoever it belongs to."""
MOST_BYTES = 128 * 1024 * 1024
EXEC_S = 5.0

_found: list[str] = []


def request_headers() -> dict[str, str]:
    """What the tests' clients send with each request; it means nothing to a server."""
    return {"Cookie": COOKIE, "X-Canary-Secret": UNKNOWN_HEADER}


def server_environment() -> dict[str, str]:
    """What each server of the tests is started with."""
    return {"FORETELL_CACHE__SECRET": SETTING, FOREIGN_VARIABLE: FOREIGN}


def look(output: bytes | str, where: str) -> None:
    """Fails where a planted secret is in an output, and remembers it for the end of the run."""
    at = output.find(MARK) if isinstance(output, str) else output.find(MARK.encode())
    if at >= 0:
        raise _leaked(where, output[max(0, at - 60) : at + 60])


def look_at_log(output: bytes, where: str) -> None:
    """As ``look``; no key or token that anybody calls with may be there either."""
    look(output, where)
    credential = CREDENTIALS.search(output)
    if credential is not None:
        raise _leaked(where, output[max(0, credential.start() - 60) : credential.start() + 16])


def look_at_processes(pid: int) -> None:
    """Fails where a planted secret is in a command line of a process or of those it started, or was passed on.

    The process itself has in its environment what the test gave it. What is not ours reaches our own workers, but
    never a hosted model.
    """
    own = _passed_to(pid)
    for each in [pid, *descendants(pid)]:
        command, environ = own if each == pid else _passed_on_to(each, own)
        look(command, f"the command line of process {each}")
        if each != pid:
            ours = b"-m\0foretell" in command
            passed_on = environ.replace(FOREIGN.encode(), b"") if ours else environ
            look(passed_on, f"the environment of process {each}, {command[-80:]!r}")


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those they did. Nobody where there is no ``/proc``."""
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children += map(int, task.read_text().split())
        except OSError:  # a thread that has ended meanwhile
            continue
    return [each for child in children for each in (child, *descendants(child))]


def _passed_on_to(pid: int, before: tuple[bytes, bytes]) -> tuple[bytes, bytes]:
    """What a child was given. Until it executes its program it shows what its parent has, which is waited out."""
    give_up_at = time.monotonic() + EXEC_S
    while (found := _passed_to(pid)) == before and time.monotonic() < give_up_at:
        time.sleep(0.01)
    return found


def _passed_to(pid: int) -> tuple[bytes, bytes]:
    return _of_process(pid, "cmdline"), _of_process(pid, "environ")


def _of_process(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:  # it has ended, or is not ours to look at
        return b""


def _leaked(where: str, around: bytes | str) -> AssertionError:
    _found.append(f"{where}: {around!r}")
    return AssertionError(f"a planted secret, a key or a token came out in {where}: {around!r}")


# -- the plugin --------------------------------------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """What a test printed and logged, whether it passed or not."""
    for title, text in report.sections:
        if MARK in text and not report.failed:  # what failed shows the values it compared
            at = text.find(MARK)
            _found.append(f"{report.nodeid}, {title}: {text[max(0, at - 60) : at + 60]!r}")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """The files of the run; under xdist each worker looks at its own and tells."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    if factory is not None and getattr(factory, "_basetemp", None) is not None:
        _found.extend(files_with_secrets(factory.getbasetemp()))
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["canary"] = _found
    elif _found:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """A worker of xdist has ended: what it found."""
    _found.extend(getattr(node, "workeroutput", {}).get("canary", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for found in dict.fromkeys(_found):
        terminalreporter.write_line(f"CANARY: a secret came out in {found}", red=True)


def files_with_secrets(folder: Path) -> Iterator[str]:
    """The files under a folder that hold a planted secret, but for those that were written to hold one."""
    for base, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not PLANTED.search(name)]
        for name in names:
            path = Path(base, name)
            if not PLANTED.search(name) and _holds_one(path):
                yield f"the file {path.relative_to(folder)}"


def _holds_one(path: Path) -> bool:
    try:
        if not path.is_file() or path.is_symlink() or not 0 < path.stat().st_size <= MOST_BYTES:
            return False
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(MARK.encode()) >= 0
    except (OSError, ValueError):  # gone, or empty by now, or not ours to read
        return False
