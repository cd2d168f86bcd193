"""Where settings come from, which one wins, and what is said of those that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from foretell.core.identity import Ref
from foretell.core.limits import BodyLimits
from foretell.errors import SettingsError
from foretell.settings import Limits, Log, Settings, State, Tls, Trust


def load(
    directory: Path,
    environ: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    toml: str | None = None,
    dotenv: str | None = None,
) -> Settings:
    if toml is not None:
        (directory / "foretell.toml").write_text(toml, encoding="utf-8")
    if dotenv is not None:
        (directory / ".env").write_text(dotenv, encoding="utf-8")
    return Settings.load(options, environ=environ or {}, directory=directory)


def faults(directory: Path, **given: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(directory, **given)
    lines = caught.value.detail.splitlines()
    return lines if len(lines) == 1 else [line.removeprefix("  - ") for line in lines[1:]]


def test_nothing_said_gives_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.host, settings.port, settings.workers, settings.prefix) == ("127.0.0.1", 8000, 1, "/api/v1")
    assert (settings.models, settings.default_model, settings.ready) == (None, None, "any")
    assert settings.limits.body == BodyLimits()
    assert settings.source_of("port") == "default"


@pytest.mark.parametrize(
    ("options", "environ", "dotenv", "toml", "port", "source"),
    [
        ({"port": 1}, {"FORETELL_PORT": "2", "PORT": "3"}, "FORETELL_PORT=4\nPORT=5", "port = 6", 1, "--port"),
        ({"port": None}, {"FORETELL_PORT": "2", "PORT": "3"}, "FORETELL_PORT=4", "port = 6", 2, "FORETELL_PORT"),
        ({}, {"PORT": "3"}, "FORETELL_PORT=4\nPORT=5", "port = 6", 4, ".env: FORETELL_PORT"),
        ({}, {"PORT": "3"}, "PORT=5", "port = 6", 3, "PORT"),
        ({}, {}, "PORT=5", "port = 6", 5, ".env: PORT"),
        ({}, {}, "", "port = 6", 6, "foretell.toml: port"),
        ({}, {"FORETELL_PORT": ""}, "FORETELL_PORT=", "port = 6", 6, "foretell.toml: port"),
        ({}, {"foretell_port": "7"}, None, None, 7, "foretell_port"),
        ({}, {"FORETELL_PORT": "tcp://10.0.0.1:80", "FORETELL_SERVICE_HOST": "10.0.0.1"}, None, None, 8000, "default"),
        (
            {},
            {"FORETELL_PORT_80_TCP_ADDR": "10.0.0.1", "FORETELL_SERVICE_PORT_HTTP": "80"},
            None,
            None,
            8000,
            "default",
        ),
        ({}, {}, "OTHER=1\n# FORETELL_X=1", None, 8000, "default"),
    ],
)
def test_the_first_source_that_says_something_wins(
    tmp_path: Path,
    options: dict[str, Any],
    environ: dict[str, str],
    dotenv: str | None,
    toml: str | None,
    port: int,
    source: str,
) -> None:
    settings = load(tmp_path, environ, options, dotenv=dotenv, toml=toml)
    assert settings.port == port
    assert settings.source_of("port") == source


def test_the_fallback_names_are_read(tmp_path: Path) -> None:
    settings = load(tmp_path, {"MODEL_PATH": "m", "HOST": "0.0.0.0", "PORT": "80"})
    assert (settings.models, settings.host, settings.port) == (Path("m"), "0.0.0.0", 80)


def test_groups_are_tables_in_toml_and_double_underscores_in_variables(tmp_path: Path) -> None:
    toml = '[limits]\ntimeout_s = 2\nmax_batch_rows = 5\n[log]\nformat = "json"\n'
    settings = load(tmp_path, {"FORETELL_LIMITS__MAX_BATCH_ROWS": "7"}, {"log.level": "debug"}, toml=toml)
    assert settings.limits == Limits(timeout_s=2, max_batch_rows=7)
    assert settings.log == Log(format="json", level="debug")


def test_a_relative_path_in_toml_is_meant_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "my.toml").write_text('models = "m"\n[log]\npath = "/var/log/x"\n', encoding="utf-8")
    settings = load(tmp_path, {"FORETELL_CONFIG": "conf/my.toml"}, toml="port = 1")
    assert settings.models == tmp_path / "conf" / "m"
    assert settings.log.path == Path("/var/log/x")
    assert settings.port == 8000  # the file named is read in place of the other


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"environ": {"FORETELL_PRT": "1"}}, "FORETELL_PRT is not a setting; did you mean FORETELL_PORT?"),
        (
            {"environ": {"FORETELL_LIMITS_TIMEOUT_S": "1"}},
            "FORETELL_LIMITS_TIMEOUT_S is not a setting; did you mean FORETELL_LIMITS__TIMEOUT_S?",
        ),
        ({"environ": {"FORETELL_CONFG": "x"}}, "FORETELL_CONFG is not a setting; did you mean FORETELL_CONFIG?"),
        ({"environ": {"FORETELL_QQQQQQQQQQQQQQQQ": "x"}}, "FORETELL_QQQQQQQQQQQQQQQQ is not a setting"),
        ({"dotenv": "FORETELL_WORKER=2"}, ".env: FORETELL_WORKER is not a setting; did you mean FORETELL_WORKERS?"),
        ({"toml": "prot = 1"}, "foretell.toml: prot is not a setting; did you mean port?"),
        ({"toml": "[limit]\ntimeout_s = 1"}, "foretell.toml: limit is not a setting; did you mean limits?"),
        (
            {"toml": "[limits]\ntimeout = 1"},
            "foretell.toml: limits.timeout is not a setting; did you mean limits.timeout_s?",
        ),
        ({"toml": "limits = 1"}, "foretell.toml: limits is a group of settings, not a value"),
        ({"toml": "port = ["}, "foretell.toml cannot be read: Invalid value (at end of document)"),
        (
            {"environ": {"FORETELL_CONFIG": "no.toml"}},
            "FORETELL_CONFIG: no.toml cannot be read: No such file or directory",
        ),
        ({"environ": {"FORETELL_PORT": "70000"}}, "FORETELL_PORT: '70000' should be less than or equal to 65535"),
        (
            {"dotenv": "PORT=x"},
            ".env: PORT: 'x' should be a valid integer, unable to parse string as an integer",
        ),
        ({"options": {"workers": 0}}, "--workers: '0' should be greater than or equal to 1"),
        (
            {"toml": "[limits]\ntimeout_s = inf"},
            "foretell.toml: limits.timeout_s: 'inf' should be a finite number",
        ),
        (
            {"toml": '[execution]\nmode = "process"'},
            "foretell.toml: execution.mode: 'process' should be 'auto', 'direct', 'threaded' or 'hosted'",
        ),
        (
            {"environ": {"FORETELL_LIMITS__MAX_QUEUE_S": "0"}},
            "FORETELL_LIMITS__MAX_QUEUE_S: '0' should be greater than 0",
        ),
        (
            {"options": {"reload": True, "workers": 2}},
            "reload runs one worker: leave out either reload or workers",
        ),
        (
            {"environ": {"FORETELL_DEFAULT_MODEL": "../x"}},
            "FORETELL_DEFAULT_MODEL: '../x' cannot name a model: a name starts with a letter or digit and goes on with "
            "letters, digits, '.', '_' or '-', 128 characters at most",
        ),
        (
            {"options": {"prefix": "api"}},
            "--prefix: 'api' must start with / and hold letters, digits, '.', '_', '~', '-' and / only",
        ),
        (
            {"environ": {"FORETELL_HOST": "h" * 300}},
            "FORETELL_HOST: '"
            + "h" * 64
            + "…' "
            + "String should have at most 255 characters".replace("String ", "string "),
        ),
    ],
)
def test_what_cannot_be_used_is_named_with_its_place(tmp_path: Path, given: dict[str, Any], expected: str) -> None:
    assert [line.replace("String should", "string should") for line in faults(tmp_path, **given)] == [expected]


def test_all_faults_are_listed_at_once(tmp_path: Path) -> None:
    found = faults(
        tmp_path,
        environ={"FORETELL_PRT": "1", "FORETELL_PORT": "x"},
        options={"workers": 0},
        dotenv="FORETELL_LAN=1",
        toml='prefx = "/"\n[log]\nlevel = "loud"\n',
    )
    assert len(found) == 6
    starts = ("foretell.toml: prefx", ".env: FORETELL_LAN ", "FORETELL_PRT ", "FORETELL_PORT:", "--workers:")
    for start in (*starts, "foretell.toml: log.level:"):
        assert sum(fault.startswith(start) for fault in found) == 1, start


def test_a_settings_error_has_the_exit_code_of_configuration(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {"FORETELL_PRT": "1"})
    assert caught.value.exit_code == 78
    assert caught.value.hint == "every setting is described in docs/reference/settings.md"


@pytest.mark.parametrize(
    ("text", "ready"),
    [
        ("any", "any"),
        ("all", "all"),
        ("iris", ("iris",)),
        ("iris, churn", ("iris", "churn")),
        ("any,", ("any",)),
        (["iris", "churn"], ("iris", "churn")),
    ],
)
def test_ready_is_any_all_or_names(text: Any, ready: Any) -> None:
    assert Settings(ready=text).ready == ready


@pytest.mark.parametrize("wrong", ["", ",", "a b", [], [1], 3, ["../x"]])
def test_ready_of_another_kind_is_refused(wrong: Any) -> None:
    with pytest.raises(ValidationError, match="any, all, or names of models"):
        Settings(ready=wrong)


@pytest.mark.parametrize(("given", "prefix"), [("", ""), ("/", ""), ("/api", "/api"), ("/a/b.c/", "/a/b.c")])
def test_a_prefix_never_ends_with_a_slash(given: str, prefix: str) -> None:
    assert Settings(prefix=given).prefix == prefix


def test_the_tree_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1


def test_an_export_gives_the_same_tree_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"models": Path("m"), "log.path": Path("l"), "ready": "a,b", "limits.timeout_s": 1.5}
    settings = load(tmp_path, {"FORETELL_LANE": "no"}, options)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "foretell.toml").write_text("broken", encoding="utf-8")
    read = Settings.from_export(settings.export())
    assert read.models == tmp_path / "m"
    assert read.log.path == tmp_path / "l"
    assert read.model_dump(exclude={"models", "log"}) == settings.model_dump(exclude={"models", "log"})


def test_an_export_of_the_defaults_names_no_model() -> None:
    assert Settings.from_export(Settings().export()).model_dump() == Settings().model_dump()


def test_a_damaged_export_is_refused() -> None:
    with pytest.raises(ValueError, match="property name"):
        Settings.from_export("{")


def test_the_process_environment_and_directory_are_read_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORETELL_PORT", "81")
    (tmp_path / "foretell.toml").write_text('host = "::1"', encoding="utf-8")
    settings = Settings.load()
    assert (settings.host, settings.port) == ("::1", 81)


@pytest.mark.parametrize(
    ("given", "names"),
    [("iris, churn/v3,", ("iris", "churn/v3")), (["iris"], ("iris",)), ("", ()), ([], ())],
)
def test_trusted_pickles_are_names_of_models_and_versions(given: Any, names: tuple[str, ...]) -> None:
    trust = Trust.model_validate({"pickle": given})
    assert trust.pickle == names
    assert [trust.allows(ref) for ref in (Ref("iris", "v1"), Ref("churn", "v3"), Ref("churn", "v4"))] == [
        "iris" in names,
        "churn/v3" in names,
        False,
    ]


@pytest.mark.parametrize("given", ["a b", "iris/latest", "iris/v1/x", "/v1", "iris/", 3, [1], {"iris": True}])
def test_what_names_no_version_is_not_trusted(given: Any) -> None:
    with pytest.raises(ValidationError, match="names of models or versions"):
        Trust.model_validate({"pickle": given})


def test_the_state_folder_has_a_short_variable_and_a_default_of_the_users_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load(tmp_path, {"FORETELL_STATE": "/srv/state"}).state.place == Path("/srv/state")
    assert load(tmp_path, {"FORETELL_STATE__FOLDER": "/srv/state"}).state.place == Path("/srv/state")
    written = tmp_path / "written"
    written.mkdir()
    assert load(written, toml='[state]\nfolder = "state"').state.place == written / "state"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/me")
    assert load(tmp_path).state.place == Path("/var/me/foretell")
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/me")
    assert load(tmp_path).state.place == Path("/home/me/.local/state/foretell")


def test_workers_find_the_state_folder_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exported = Settings(state=State(folder=Path("state"))).export()
    monkeypatch.chdir("/")
    assert Settings.from_export(exported).state.place == tmp_path / "state"


def test_a_database_that_is_no_postgresql_is_refused_without_showing_its_password(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"'\(hidden\)' must begin with postgresql://") as refused:
        load(tmp_path, {"FORETELL_STATE__URL": "mysql://me:hush@host/x"})
    assert "hush" not in str(refused.value)


# -- TLS -------------------------------------------------------------------------------------------------------------


def test_paths_of_certificates_are_meant_from_the_file_and_travel_absolute(tmp_path: Path) -> None:
    toml = '[tls]\ncert = "server.pem"\nkey = "server.key"\nclient_ca = "ca.pem"'
    tls = load(tmp_path, toml=toml).tls
    assert (tls.cert, tls.key, tls.client_ca) == tuple(tmp_path / n for n in ("server.pem", "server.key", "ca.pem"))
    exported = Settings(tls=Tls(cert=Path("server.pem"))).export()
    assert Settings.from_export(exported).tls.cert == Path.cwd() / "server.pem"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tls.key": "k"}, "tls.key needs tls.cert"),
        ({"tls.client_ca": "c"}, "tls.client_ca needs a certificate"),
        ({"tls.self_signed": True, "tls.cert": "c"}, "makes its own certificate"),
        ({"tls.client_scopes": "predcit"}, "'predcit' is no scope"),
        ({"tls.client_scopes": [1]}, "must be scopes"),
        ({"accept_risk": ["SW3"]}, "must be codes of risks to accept"),
        ({"accept_risk": 5}, "must be codes of risks to accept"),
    ],
)
def test_tls_that_cannot_be_is_told(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    assert said in "".join(faults(tmp_path, options=options))


def test_what_callers_with_certificates_may_do_is_read_from_text_or_a_list(tmp_path: Path) -> None:
    text = load(tmp_path, {"FORETELL_TLS__CLIENT_SCOPES": "predict, ops=admin+jobs,"})
    assert text.tls.client_scopes == ("predict", "ops=admin+jobs")
    assert text.tls.grants.of("ops") == {"admin", "jobs"}
    assert load(tmp_path, toml='[tls]\nclient_scopes = ["a,b=jobs"]').tls.grants.of("a,b") == {"jobs"}


def test_risks_are_accepted_by_code_in_any_source(tmp_path: Path) -> None:
    assert load(tmp_path, {"FORETELL_ACCEPT_RISK": "SW03, SW01"}).accept_risk == ("SW03", "SW01")
    assert load(tmp_path, options={"accept_risk": ["SW03"]}).accept_risk == ("SW03",)
    assert load(tmp_path, options={"tls.cert": "c"}).source_of("tls.cert") == "--tls-cert"
