"""``foretell predict`` as it is called: against a server that runs, and straight from a folder."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from typer.testing import CliRunner

from foretell.cli.main import cli
from foretell.core.access.principal import Principal
from foretell.errors import BodyTooLarge, ForetellError, OperatorError, RequestError
from foretell.security.tls.context import FollowingContext
from foretell.security.tls.files import TlsFiles
from foretell.security.tls.self_signed import make
from foretell.settings_reading import API_KEY
from tests.certificates import Issuer
from tests.gates import Keys, gate
from tests.serving import Running, Sum, running


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("MODEL_PATH", "HOST", "PORT", "FORETELL_MODELS", API_KEY):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(Sum(poison=666.0), limits={"max_batch_rows": 3}) as found:
        yield found


def predict(*args: str) -> str:
    """Standard output; raises what the command raises."""
    result = CliRunner().invoke(cli, ["predict", *args])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(folder: Path, text: str, name: str = "rows.csv") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return name


def url(server: Running) -> tuple[str, str]:
    return "--url", f"http://127.0.0.1:{server.port}"


def test_rows_are_answered_in_order_in_slices_of_what_the_server_takes(server: Running, folder: Path) -> None:
    data = rows(folder, "x,y\n" + "".join(f"{i},{i % 7}\n" for i in range(20)))
    shown = predict("sum", "--data", data, *url(server))
    assert shown.splitlines() == ["x,y,prediction"] + [f"{i},{i % 7},{10 * i + i % 7:.1f}" for i in range(20)]


def test_json_in_and_json_out(server: Running, folder: Path) -> None:
    data = rows(folder, '[{"x": 1, "y": 2}, {"y": 4, "x": 3}]', "rows.json")
    shown = predict("sum", "--data", data, "--output", "json", "--version", "latest", *url(server))
    assert json.loads(shown) == [{"prediction": 12.0}, {"prediction": 34.0}]


def test_a_table_on_demand_with_an_address_from_the_settings(
    server: Running, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_PORT", str(server.port))
    monkeypatch.setenv("FORETELL_HOST", "0.0.0.0")
    shown = predict("sum", "--data", rows(folder, "x,y\n1,2\n"), "--output", "table")
    assert [line.split() for line in shown.splitlines()] == [["x", "y", "prediction"], ["1", "2", "12.0"]]


def test_the_settings_of_a_self_signed_server_are_enough_to_ask_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORETELL_STATE", str(folder / "state"))
    monkeypatch.setenv("FORETELL_TLS__SELF_SIGNED", "true")
    with running(tls=FollowingContext(make(folder / "state", "127.0.0.1"))) as encrypted:
        monkeypatch.setenv("FORETELL_PORT", str(encrypted.port))
        data = rows(folder, "x,y\n1,2\n")
        assert predict("sum", "--data", data, "--output", "csv").endswith("12.0\n")
        monkeypatch.setenv("FORETELL_TLS__SELF_SIGNED", "false")
        with pytest.raises(OperatorError, match="does not answer"):
            predict("sum", "--data", data, "--url", f"https://127.0.0.1:{encrypted.port}")


def test_a_closed_server_is_shown_a_key_by_file_or_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys({"ft_right": Principal("key:a", "key", "a", frozenset({"predict"}))})
    data = rows(folder, "x,y\n1,2\n")
    (folder / "key").write_text("ft_right\n")
    with running(gate=gate(keys, closed=True)) as closed:
        with pytest.raises(RequestError, match="carries none") as caught:
            predict("sum", "--data", data, *url(closed))
        assert "--key-file" in str(caught.value.hint)
        assert predict("sum", "--data", data, *url(closed), "--key-file", "key").endswith("12.0\n")
        monkeypatch.setenv(API_KEY, "ft_right")
        assert predict("sum", "--data", data, *url(closed)).endswith("12.0\n")
        monkeypatch.setenv(API_KEY, "ft_wrong")
        with pytest.raises(RequestError) as caught:
            predict("sum", "--data", data, *url(closed))
        assert API_KEY in str(caught.value.hint) and "ft_wrong" not in str(caught.value.hint) + caught.value.detail
    with pytest.raises(OperatorError, match="plain http"):
        predict("sum", "--data", data, "--url", "http://10.255.255.1:8000")
    with pytest.raises(OperatorError, match="are for a server"):
        predict("sum", "--data", data, "--local", "--key-file", "key")


def test_a_server_that_asks_for_certificates_is_shown_one(folder: Path) -> None:
    issuer = Issuer.make()
    ca, _ = issuer.write(folder / "authority", "ca")
    files = TlsFiles(*issuer.server(["127.0.0.1"]).write(folder / "tls"), ca)
    cert, key = issuer.client("batch").write(folder / "caller")
    data = rows(folder, "x,y\n1,2\n")
    with running(tls=FollowingContext(files)) as server:
        asked = ["sum", "--data", data, "--url", f"https://127.0.0.1:{server.port}", "--ca", str(ca)]
        assert predict(*asked, "--cert", str(cert), "--cert-key", str(key)).endswith("12.0\n")
        with pytest.raises(OperatorError, match="does not answer"):
            predict(*asked)


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "http://127.0.0.1:{}/", "http://127.0.0.1:{}/api/v1"])
def test_an_address_may_leave_out_what_goes_without_saying(server: Running, folder: Path, form: str) -> None:
    assert predict("sum", "--data", rows(folder, "x,y\n1,2\n"), "--url", form.format(server.port)).endswith("12.0\n")


def test_faults_name_the_row_of_the_file_and_what_was_meant(server: Running, folder: Path) -> None:
    data = rows(folder, "x,y\n1,2\n3,4\n5,6\n7,8\n9,\nten,1\n")
    with pytest.raises(RequestError) as caught:
        predict("sum", "--data", data, *url(server))
    lines = caught.value.detail.splitlines()
    assert [line.split(":")[0] for line in lines[1:]] == ["  - row 5", "  - row 6"]


@pytest.mark.parametrize(
    ("model", "text", "reason"),
    [
        ("smu", "x,y\n1,2\n", "did you mean sum|Did you mean 'sum'"),
        ("sum", "x,z\n1,2\n", "z"),
        ("sum", "x,y\n666,2\n", "failed on this input"),
    ],
)
def test_refusals_are_the_servers_own_words(server: Running, folder: Path, model: str, text: str, reason: str) -> None:
    with pytest.raises(RequestError, match=reason):
        predict(model, "--data", rows(folder, text), *url(server))


def test_a_server_that_is_not_there_says_how_to_start_one(folder: Path) -> None:
    with pytest.raises(OperatorError, match="does not answer") as caught:
        predict("sum", "--data", rows(folder, "x,y\n1,2\n"), "--url", "http://127.0.0.1:9")
    assert "foretell serve" in str(caught.value.hint)


def test_an_address_that_is_none_is_an_error(folder: Path) -> None:
    with pytest.raises(OperatorError, match="is no address of a server"):
        predict("sum", "--data", rows(folder, "x,y\n1,2\n"), "--url", "ftp://x")


def test_a_file_without_rows_is_an_error(server: Running, folder: Path) -> None:
    with pytest.raises(OperatorError, match="has no rows"):
        predict("sum", "--data", rows(folder, "x,y\n"), *url(server))


class Stranger(BaseHTTPRequestHandler):
    """Some other server: answers by the path's model as told."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        status, body = (413, b'{"detail": "too large", "code": "body_too_large"}')
        if "teapot" in self.path:
            status, body = 418, b"<html>"
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def stranger() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Stranger)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_server_that_is_not_foretell_is_told_apart(stranger: int, folder: Path) -> None:
    with pytest.raises(RequestError, match="answered 418, and not in Foretell's way"):
        predict("teapot", "--data", rows(folder, "x\n1\n"), "--url", f"http://127.0.0.1:{stranger}")


def test_one_row_that_is_too_large_is_not_halved_for_ever(stranger: int, folder: Path) -> None:
    with pytest.raises(BodyTooLarge):
        predict("sum", "--data", rows(folder, "x\n1\n2\n"), "--url", f"http://127.0.0.1:{stranger}")


# -- local -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import foretell
    from tests.zoo import specimen

    models = tmp_path_factory.mktemp("models")
    found = specimen("sklearn-iris-named")
    foretell.package(found.estimator, models / "iris" / "v1", example=found.X, class_names=["a", "b", "c"])
    found.X.head(4).to_csv(models / "rows.csv", index=False)
    (models / "broken" / "v1").mkdir(parents=True)
    (models / "broken" / "v1" / "model.onnx").write_text("no model")
    return models


@pytest.mark.parametrize("size", ["1000", "2"])
def test_a_folder_answers_without_a_server_as_the_estimator_does(
    repository: Path, monkeypatch: pytest.MonkeyPatch, size: str
) -> None:
    from tests.zoo import specimen

    monkeypatch.setenv("FORETELL_LIMITS__MAX_BATCH_ROWS", size)
    found = specimen("sklearn-iris-named")
    shown = predict(
        *("iris", "--data", str(repository / "rows.csv"), "--local", "--models", str(repository)),
        *("--output", "json", "--probabilities", "--top-k", "1"),
    )
    answers = json.loads(shown)
    assert [answer["prediction"] for answer in answers] == found.predict(found.X.head(4)).tolist()
    for answer, expected in zip(answers, found.predict_proba(found.X.head(4)), strict=True):
        assert answer["probability"] == pytest.approx(expected.tolist(), rel=1e-9)
        assert answer["top"][0]["probability"] == answer["confidence"]


def test_the_model_may_be_a_path(repository: Path) -> None:
    shown = predict(str(repository / "iris"), "--data", str(repository / "rows.csv"), "--local", "--version", "v1")
    header, *lines = shown.splitlines()
    assert header.endswith(",prediction,class_name,confidence")
    assert [line.split(",")[5] for line in lines] == ["a"] * 4


def test_local_faults_name_the_row_too(repository: Path, folder: Path) -> None:
    header = (repository / "rows.csv").read_text().splitlines()[0]
    data = rows(folder, f"{header}\n1,2,3,4\n1,2,x,4\n")
    with pytest.raises(RequestError, match="row 2: "):
        predict("iris", "--data", data, "--local", "--models", str(repository))


@pytest.mark.parametrize(("model", "reason"), [("broken", "broken"), ("nothing", "no model 'nothing'")])
def test_a_model_that_cannot_answer_says_why(repository: Path, model: str, reason: str) -> None:
    with pytest.raises(ForetellError, match=reason):
        predict(model, "--data", str(repository / "rows.csv"), "--local", "--models", str(repository))


def test_local_without_models_asks_for_them(repository: Path) -> None:
    with pytest.raises(OperatorError, match="No models"):
        predict("iris", "--data", str(repository / "rows.csv"), "--local")
