"""The entry point: errors become one clear line and an exit code, help stays quick and imports nothing heavy."""

from __future__ import annotations

import inspect
import io
import subprocess
import sys
import typing
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from typer.testing import CliRunner

from foretell.cli import main as entry
from foretell.cli.report import report
from foretell.cli.serve import serve
from foretell.errors import ArtifactError, ForetellError, OperatorError, RequestError, SettingsError
from foretell.settings import leaves
from foretell.settings_reading import flag


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], int]:
    """Runs `foretell check x` whose function raises; the exit code."""

    def run(error: BaseException) -> int:
        def check(path: str) -> None:
            raise error

        monkeypatch.setattr("foretell.cli.check.check", check)
        with pytest.raises(SystemExit) as caught:
            entry.main(["check", "x"])
        return int(caught.value.code or 0)

    return run


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError("no"), 78),
        (OperatorError("no"), 1),
        (ArtifactError("no"), 65),
        (RequestError("no"), 1),
        (ForetellError("no"), 1),
        (ZeroDivisionError("no"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
def test_every_error_has_its_exit_code(
    failing: Callable[[BaseException], int], error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failing(error) == code
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_is_one_line_and_its_hint(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(OperatorError("It went wrong.", hint="do this"))
    assert capsys.readouterr().err == "error: It went wrong.\nhint:  do this\n"


def test_what_nobody_expected_says_how_to_see_more(
    failing: Callable[[BaseException], int], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(ZeroDivisionError("division by zero"))
    assert capsys.readouterr().err == (
        "error: Unexpected ZeroDivisionError: division by zero\n"
        "hint:  this is a fault in Foretell or a library; FORETELL_DEBUG=1 shows where\n"
    )


@pytest.mark.parametrize("error", [OperatorError("no"), ZeroDivisionError("no")])
def test_debug_shows_the_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(path: str) -> None:
        raise error

    monkeypatch.setattr("foretell.cli.check.check", check)
    monkeypatch.setenv("FORETELL_DEBUG", "")
    with pytest.raises(type(error)):
        entry.main(["--debug", "check", "x"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    report(ForetellError("no"), stream=terminal)
    assert terminal.getvalue() == "\x1b[1;31merror:\x1b[0m no\n"
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    report(ForetellError("no"), stream=terminal)
    assert terminal.getvalue() == "error: no\n"


def test_what_would_steer_a_terminal_is_escaped() -> None:
    stream = io.StringIO()
    report(ForetellError("a\x1b[2Jb\nc"), stream=stream)
    assert stream.getvalue() == "error: a\\x1b[2Jb\nc\n"


def test_help_lists_every_command_and_version_the_version() -> None:
    from importlib.metadata import version

    shown = CliRunner().invoke(entry.cli, ["--help"]).stdout
    assert all(name in shown for name in entry.COMMANDS)
    assert CliRunner().invoke(entry.cli, ["--version"]).stdout == f"foretell {version('foretell')}\n"


def test_a_command_that_is_not_there_suggests_one_that_is() -> None:
    result = CliRunner().invoke(entry.cli, ["serv"])
    assert result.exit_code == 2
    assert "Did you mean 'serve'" in result.output


@pytest.mark.parametrize("name", list(entry.COMMANDS))
def test_the_help_shown_in_the_list_is_the_commands_own(name: str) -> None:
    function = getattr(import_module(f"foretell.cli.{name}"), name)
    assert (inspect.getdoc(function) or "").splitlines()[0] == entry.COMMANDS[name]
    assert CliRunner().invoke(entry.cli, [name, "--help"]).exit_code == 0


def test_help_imports_nothing_heavy() -> None:
    heavy = ("pydantic", "fastapi", "uvicorn", "numpy", "sklearn", "structlog", "httpx2")
    code = (
        "import sys\nfrom foretell.cli.main import main\n"
        f"try:\n    main(['--help'])\nexcept SystemExit:\n    print([m for m in {heavy!r} if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.splitlines()[-1] == "[]"


def test_options_of_serve_are_called_as_faults_in_settings_call_them() -> None:
    flags = {flag(key) for key, _ in leaves()}
    hints = typing.get_type_hints(serve, include_extras=True)
    options: list[Any] = [name for name in hints if name not in ("path", "return")]
    assert {"--" + name.replace("_", "-") for name in options} <= flags


def test_an_option_that_cannot_be_is_a_fault_with_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        entry.main(["serve", ".", "--log-format", "xml", "--timeout", "-1", "--port", "99999"])
    assert caught.value.code == 78
    shown = capsys.readouterr().err
    for place in ("--log-format: 'xml'", "--timeout: '-1.0'", "--port: '99999'"):
        assert place in shown
