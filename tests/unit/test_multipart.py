"""Forms that carry one file: what browsers, curl and clients send is read, and nothing else is taken for it."""

from __future__ import annotations

import time
from typing import Any

import httpx2
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.codecs.multipart import MAX_PARTS, upload_of
from foretell.codecs.negotiate import media_type
from foretell.errors import MalformedRequest, UnsupportedMediaType

ROWS = b"x,y\r\n1,2\r\n\x00--b\r\n"
BOUNDARY = {"boundary": "b"}


def part(content: bytes = ROWS, *headers: str) -> bytes:
    return b"".join(header.encode() + b"\r\n" for header in headers) + b"\r\n" + content


def form(*parts: bytes, before: bytes = b"", after: bytes = b"") -> bytes:
    return before + b"".join(b"--b\r\n" + each + b"\r\n" for each in parts) + b"--b--" + after


FILE = 'Content-Disposition: form-data; name="file"; filename="rows.csv"'


@pytest.mark.parametrize("client", ["requests", "httpx2"])
@pytest.mark.parametrize(
    ("name", "kind", "read"),
    [
        ("rows.csv", "text/csv", "text/csv"),
        ("rows.npy", None, "application/x-npy"),
        ("rows.parquet", "application/octet-stream", "application/vnd.apache.parquet"),
        ("rows.jsonl", "", "application/x-ndjson"),
        ("rows.csv", "text/csv; header=absent", "text/csv; header=absent"),
        ("x", "application/json", "application/json"),
    ],
)
def test_what_clients_send_is_read(client: str, name: str, kind: str | None, read: str) -> None:
    file: Any = (name, ROWS) if kind is None else (name, ROWS, kind)
    if client == "requests":
        made = requests.Request("POST", "http://test/", files={"file": file}).prepare()
        headers, body = made.headers, made.body
    else:
        request = httpx2.Request("POST", "http://test/", files={"file": file})
        headers, body = request.headers, request.read()
    upload = upload_of(body, (media_type(headers["content-type"]) or ("", {}))[1])
    assert upload.content == ROWS
    if not (name == "rows.npy" and client == "httpx2"):
        assert upload.content_type in (read, kind)
    assert upload.content_type


@pytest.mark.parametrize(
    "body",
    [
        form(part(ROWS, FILE)),
        form(part(ROWS, FILE), before=b"a preamble\r\n", after=b"\r\nan epilogue"),
        form(part(ROWS, FILE)).replace(b"--b\r\nCont", b"--b \t\r\nCont"),
        form(part(ROWS, FILE, "Content-Transfer-Encoding: binary", "X-Other: 1")),
        form(part(ROWS, 'content-disposition: FORM-DATA ; filename=rows.csv; name="a;b"')),
        form(part(ROWS, 'Content-Disposition: form-data; name="x"', "Content-Type: text/csv")),
    ],
)
def test_a_file_is_found(body: bytes) -> None:
    assert upload_of(body, BOUNDARY) == ("text/csv", ROWS)


def test_a_file_may_be_empty() -> None:
    assert upload_of(form(part(b"", FILE)), BOUNDARY).content == b""


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "the boundary that its content type names is not in it"),
        (b"--c\r\n", "the boundary"),
        (b"--b", "not followed by the end of its line"),
        (b"--b--", "got 0"),
        (b"--bx\r\n", "not followed by the end of its line"),
        (b"--b\r\n" + part(ROWS, FILE), "ends inside a part"),
        (form(part(ROWS, FILE), part(ROWS, FILE)), "got 2: file, file"),
        (form(part(ROWS, FILE), part(b"1", 'Content-Disposition: form-data; name="model"')), "got 2: file, model"),
        (form(part(b"1", 'Content-Disposition: form-data; name="model"')), "'model' is a field and no file"),
        (form(*[part(ROWS, FILE)] * (MAX_PARTS + 1)), "more than 16"),
        (form(part(ROWS)), "form-data"),
        (form(part(ROWS, 'Content-Disposition: attachment; filename="x.csv"')), "form-data"),
        (form(part(ROWS, FILE, FILE)), "stands twice"),
        (form(part(ROWS, FILE, "no colon")), "cannot be read"),
        (form(part(ROWS, FILE, "X: " + "y" * 9000)), "longer than"),
        (form(b"Content-Disposition: form-data"), "do not end"),
        (form(part(ROWS, FILE, "Content-Transfer-Encoding: base64")), "'base64' is not read"),
    ],
)
def test_what_is_no_form_of_one_file_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        upload_of(body, BOUNDARY)
    assert why in caught.value.detail
    assert caught.value.instance_code == "malformed_multipart"


@pytest.mark.parametrize("boundary", ["", "x" * 71, "a\x00b", "ends with a blank ", "é", '"'])
def test_a_boundary_must_be_one(boundary: str) -> None:
    with pytest.raises(MalformedRequest, match="boundary"):
        upload_of(form(part(ROWS, FILE)), {"boundary": boundary})


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "", "csv", "rows.csv.gz"])
def test_a_file_that_does_not_say_what_it_is_is_unsupported(name: str) -> None:
    with pytest.raises(UnsupportedMediaType) as caught:
        upload_of(form(part(ROWS, f'Content-Disposition: form-data; name="f"; filename="{name}"')), BOUNDARY)
    assert ".parquet" in caught.value.detail
    assert "type=text/csv" in str(caught.value.hint)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bytes_are_read_or_refused(data: st.DataObject) -> None:
    body = form(part(ROWS, FILE))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        piece = data.draw(st.binary(max_size=3) | st.sampled_from([b"\r\n", b"--b", b"\r\n--b--", b": ", b";", b'"']))
        body = body[:at] + piece + body[at + data.draw(st.integers(0, 3)) :]
    try:
        assert upload_of(body, BOUNDARY).content_type
    except (MalformedRequest, UnsupportedMediaType) as error:
        assert error.detail


def test_the_time_is_linear_in_the_length() -> None:
    def seconds(size: int) -> float:
        body = form(part(b"\r\n-" * size, FILE))
        began = time.perf_counter()
        upload_of(body, BOUNDARY)
        return time.perf_counter() - began

    assert min(seconds(800_000) for _ in range(3)) < 40 * max(min(seconds(100_000) for _ in range(3)), 1e-4)
