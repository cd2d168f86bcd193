"""``foretell check``: the doctor on sound, hostile, skewed and incomplete folders."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import structlog
from typer.testing import CliRunner, Result

import foretell
from foretell.cli.main import cli
from foretell.errors import PathMissing, SettingsError
from foretell.packaging.doctor import Report
from foretell.runtimes.base import Isolation, Recognition, Requirement, Runtime
from foretell.runtimes.registry import installed
from foretell.sources.local import LocalSource
from tests import zoo
from tests.doctoring import doctor

KEYS = {
    *("model", "version", "folder", "servable", "fault", "warnings", "files", "runtime", "model_type", "signature"),
    *("digest", "created_at", "golden", "missing", "skew", "curl"),
}


@pytest.fixture(scope="module")
def packaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one sound version; copied, never changed."""
    root = tmp_path_factory.mktemp("packaged") / "models"
    X, _ = zoo.iris_frame()
    foretell.package(zoo.specimen("sklearn-iris-named").estimator, root / "iris" / "v1", example=X)
    return root


@pytest.fixture
def models(packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FORETELL_MODELS", raising=False)
    shutil.copytree(packaged, tmp_path / "models")
    return tmp_path / "models"


def check(*arguments: str) -> Result:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CliRunner().invoke(cli, ["check", *arguments], env={"COLUMNS": "300"})


def one(path: Path) -> dict[str, Any]:
    """The only version in the report on a path that is not sound."""
    result = check(str(path), "--json")
    assert result.exit_code == 65, result.output
    (version,) = json.loads(result.stdout)["versions"]
    assert set(version) == KEYS
    assert not version["servable"]
    return dict(version)


def edit(folder: Path, pattern: str, replacement: str) -> None:
    manifest = folder / "manifest.toml"
    text, count = re.subn(pattern, replacement, manifest.read_text(), count=1)
    assert count
    manifest.write_text(text)


# -- sound -------------------------------------------------------------------------------------------------------------


def test_a_sound_repository_exits_0_and_says_everything(models: Path) -> None:
    result = check("models")
    assert result.exit_code == 0
    for says in (
        "✓ iris v1  LogisticRegression",
        "model.skops  sklearn (data): its name ends in .skops",
        "digest    sha256:",
        "10 examples passed",
        "sepal length (cm)",
        "gives one of 3 classes",
        "curl -s localhost:8000/api/v1/models/iris/predict -H 'content-type: application/json' -d '{",
        "1 of 1 can be served",
    ):
        assert says in result.output


def test_json_is_one_document_with_every_key(models: Path) -> None:
    result = check("models", "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert set(report) == {"path", "servable", "versions", "broken_plugins"}
    (version,) = report["versions"]
    assert set(version) == KEYS
    assert (version["model"], version["version"], version["servable"], version["fault"]) == ("iris", "v1", True, None)
    assert version["files"] == [
        {
            "name": "model.skops",
            "runtime": "sklearn",
            "reason": "its name ends in .skops and it is a zip archive",
            "trust": "data",
        }
    ]
    assert version["golden"] == {"count": 10, "passed": True}
    assert (version["missing"], version["skew"], version["warnings"]) == ([], [], [])
    assert version["digest"].startswith("sha256:")
    assert version["signature"]["columns"][0]["name"] == "sepal length (cm)"
    assert version["runtime"] == "sklearn"
    assert version["model_type"] == "LogisticRegression"
    assert version["created_at"].endswith("+00:00")


@pytest.mark.parametrize("path", ["models", "models/iris", "models/iris/v1"])
def test_repository_model_and_version_are_all_taken(models: Path, path: str) -> None:
    assert "✓ iris v1" in check(path).output


def test_without_a_path_the_setting_says_where(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(check().exception, SettingsError)
    monkeypatch.setenv("FORETELL_MODELS", "models")
    monkeypatch.setenv("FORETELL_PORT", "9000")
    monkeypatch.setenv("FORETELL_PREFIX", "/ml")
    result = check()
    assert result.exit_code == 0
    assert "localhost:9000/ml/models/iris/predict" in result.output


def test_a_file_without_a_manifest_is_served_and_unproved(models: Path) -> None:
    path = zoo.specimen("onnx-iris-logistic").write(models.parent, "flower")
    result = check(str(path), "--json")
    assert result.exit_code == 0
    (version,) = json.loads(result.stdout)["versions"]
    assert (version["model"], version["runtime"], version["golden"]) == ("flower", "onnx", {"count": 0, "passed": None})
    assert version["warnings"] == ["no golden examples: nothing proves its answers"]
    assert version["curl"]
    assert "no golden examples" in check(str(path)).output


# -- not sound ---------------------------------------------------------------------------------------------------------


def test_one_bad_version_fails_the_check_and_hides_no_other(models: Path) -> None:
    shutil.copytree(models / "iris" / "v1", models / "iris" / "v2")
    (models / "iris" / "v2" / "model.skops").write_bytes(b"PK\x03\x04 changed")
    result = check("models")
    assert result.exit_code == 65
    assert "✓ iris v1" in result.output
    assert "✗ iris v2" in result.output
    assert "fault     Integrity check failed: model.skops has 12 bytes" in result.output
    assert "1 of 2 can be served" in result.output


@pytest.mark.parametrize("damage", ["digest", "link", "toml", "outside", "pipe"])
def test_a_hostile_folder_is_reported_and_never_loaded(models: Path, damage: str) -> None:
    folder = models / "iris" / "v1"
    if damage == "digest":
        edit(folder, r'sha256 = "[0-9a-f]{4}', 'sha256 = "0000')
    elif damage == "link":
        (folder / "model.skops").rename(models.parent / "model.skops")
        (folder / "model.skops").symlink_to(models.parent / "model.skops")
    elif damage == "toml":
        (folder / "manifest.toml").write_text("format = [")
    elif damage == "outside":
        edit(folder, 'name = "model.skops"', 'name = "../model.skops"')
    else:
        (folder / "model.skops").unlink()
        os.mkfifo(folder / "model.skops")
    version = one(models)
    assert version["fault"]["code"] in ("integrity_failed", "manifest_invalid")
    assert version["curl"] is None
    assert version["golden"]["passed"] is None


class Trap:
    def __reduce__(self) -> Any:
        return open, ("ran", "w")


def test_a_pickle_is_code_and_is_never_loaded(models: Path) -> None:
    joblib.dump(Trap(), models.parent / "model.joblib")
    version = one(models.parent / "model.joblib")
    assert version["fault"]["code"] == "artifact_untrusted"
    assert "--trust-pickle" in version["fault"]["hint"]
    assert version["files"][0]["trust"] == "code"
    assert not Path("ran").exists()
    assert "mend      foretell add" in check("model.joblib").output


def test_a_folder_of_something_else_shows_what_its_files_are(models: Path) -> None:
    folder = models / "iris" / "v1"
    (folder / "manifest.toml").unlink()
    shutil.copy(folder / "model.skops", folder / "again.skops")
    (folder / "notes[red].txt").write_text("not a model")
    version = one(models)
    assert [(file["name"], file["runtime"]) for file in version["files"]] == [
        ("again.skops", "sklearn"),
        ("model.skops", "sklearn"),
        ("notes[red].txt", None),
    ]
    assert "notes[red].txt  not a model" in check("models").output


def test_names_that_would_steer_the_terminal_are_escaped(models: Path) -> None:
    (models / "iris" / "v1" / "\x1b[2J.txt").write_text("")
    output = check("models").output
    assert "\x1b[2J" not in output
    assert "\\x1b[2J.txt" in output


def test_nothing_there_is_not_sound(models: Path) -> None:
    (models / "empty").mkdir()
    result = check("models/empty")
    assert result.exit_code == 65
    assert "no model" in result.output
    assert isinstance(check("models/gone").exception, PathMissing)


def test_golden_examples_that_fail_are_told(models: Path) -> None:
    edit(models / "iris" / "v1", r"\nprediction = \d", "\nprediction = 99")
    version = one(models)
    assert version["fault"]["code"] == "golden_mismatch"
    assert version["golden"] == {"count": 10, "passed": False}
    assert "10 examples not passed" in check("models").output


def test_libraries_that_differ_from_training_are_noted_and_do_not_fail(models: Path) -> None:
    edit(models / "iris" / "v1", r'numpy = "[^"]+"', 'numpy = "1.26.4"')
    edit(models / "iris" / "v1", r'python = "[^"]+"', 'python = "3.8.1"')
    result = check("models", "--json")
    assert result.exit_code == 0
    (version,) = json.loads(result.stdout)["versions"]
    assert version["skew"] == [{"library": "numpy", "trained": "1.26.4", "running": np.__version__}]
    assert f"note      numpy was 1.26.4 at training, {np.__version__} runs here" in check("models").output


def test_a_runtime_nobody_has_is_told(models: Path) -> None:
    edit(models / "iris" / "v1", 'runtime = "sklearn"', 'runtime = "sklern"')
    version = one(models)
    assert version["fault"]["code"] == "artifact_unrecognised"
    assert "did you mean 'sklearn'?" in version["fault"]["detail"]
    assert version["missing"] == []


# -- what is not installed ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lacking:
    """A registry whose every runtime needs a library that is not there, and with a plugin that is broken."""

    broken: Mapping[str, str] = field(default_factory=lambda: {"exotic": "exotic:runtime cannot be imported"})

    def recognise(self, path: Path) -> Recognition | None:
        return installed().recognise(path)

    def get(self, name: str) -> Runtime:
        return _Needy(installed().get(name))


@dataclass(frozen=True)
class _Needy:
    runtime: Runtime

    @property
    def name(self) -> str:
        return self.runtime.name

    requires = (Requirement("no_such_module", "no-such", "exotic"), Requirement("no.such.module", "no-such", "exotic"))
    isolation: Isolation = "any"

    def recognise(self, path: Path) -> Recognition | None:
        return self.runtime.recognise(path)

    def load(self, path: Path, signature: Any, options: Any) -> Any:
        from foretell.errors import MissingLibrary

        raise MissingLibrary("no-such is not installed")


def examine(path: Path, runtimes: Any) -> Report:
    return doctor(LocalSource(path, installed().recognise), runtimes).examine(path)


def test_a_missing_library_is_told_with_the_line_that_installs_it(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = examine(models, Lacking())
    (version,) = report.versions
    assert version.missing == ("pip install 'foretell[exotic]'",)
    assert not report.servable
    assert report.to_document()["broken_plugins"] == {"exotic": "exotic:runtime cannot be imported"}
    monkeypatch.setattr("foretell.cli.check.installed", Lacking)
    monkeypatch.setattr("foretell.runtimes.registry.get", Lacking().get)
    output = check("models").output
    assert "install   pip install 'foretell[exotic]'" in output
    assert "plugin exotic cannot be used: exotic:runtime cannot be imported" in output


def test_a_folder_that_cannot_be_read_has_no_files_to_show(models: Path) -> None:
    from foretell.core.identity import Ref
    from foretell.errors import IntegrityError
    from foretell.sources.base import Found

    gone = Found(Ref("iris", "v1"), models / "gone", fault=IntegrityError("the folder cannot be read"))

    class Source:
        def scan(self) -> list[Found]:
            return [gone]

        def open(self, found: Found) -> Any:
            raise AssertionError("must not be opened")

    (version,) = doctor(Source()).examine(models).versions
    assert version.files == ()
    assert version.fault is gone.fault


def test_the_doctor_leaves_logging_as_it_was(models: Path) -> None:
    before = structlog.get_config()
    structlog.configure(cache_logger_on_first_use=False)
    check("models", "--json")
    assert structlog.is_configured()
    structlog.reset_defaults()
    check("models", "--json")
    assert not structlog.is_configured()
    assert structlog.get_config().keys() == before.keys()


# -- code is run in a process of its own -----------------------------------------------------------------------------

NOTING = """
import os
import pathlib


class Noting:
    def load(self, folder):
        pathlib.Path({note!r}).write_text(str(os.getpid()))

    def predict(self, x: float) -> float:
        return x * 2
"""


def test_a_python_class_is_loaded_in_another_process(tmp_path: Path) -> None:
    folder, note = tmp_path / "models" / "m", tmp_path / "note"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(NOTING.format(note=str(note)))
    result = check(str(folder), "--json")
    assert result.exit_code == 0, result.output
    (version,) = json.loads(result.stdout)["versions"]
    assert (version["servable"], version["model_type"]) == (True, "Noting")
    pid = int(note.read_text())
    assert pid != os.getpid()
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    "deed", ["os._exit(0)", "import ctypes; ctypes.string_at(0)", "os.kill(os.getppid(), 0); 1 / 0"]
)
def test_code_that_ends_its_process_is_reported_beside_the_others(models: Path, deed: str) -> None:
    folder = models / "hostile" / "v1"
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(f"import os\n{deed}\nclass A:\n    def predict(self, x: float) -> float: ...\n")
    result = check(str(models), "--json")
    assert result.exit_code == 65, result.output
    found = {version["model"]: version["servable"] for version in json.loads(result.stdout)["versions"]}
    assert found == {"hostile": False, "iris": True}


def test_checks_leave_no_folder_behind(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    check(str(models))
    assert list((tmp_path / "t").iterdir()) == []
