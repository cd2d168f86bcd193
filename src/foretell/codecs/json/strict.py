"""JSON as RFC 8259 has it, and no more: what most parsers let through is named and refused.

Refused are a byte order mark, bytes that are no UTF-8, half surrogates, a key twice in an object, nesting deeper than
``limits.max_depth``. Numbers no value can be made of (NaN, 1e999, a hundred thousand digits) are left in the document
as ``Unreadable``, so that they get a fault with their place. Every step takes time linear in the body.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from foretell.core.cells import kind_of, real_number, whole_number
from foretell.core.document import Document, Unreadable
from foretell.core.faults import Faults, clip, listed, malformed
from foretell.core.limits import BodyLimits
from foretell.errors import Fault, InvalidInput, MalformedRequest

MAX_DEPTH = 256
"""Deeper than this the parser itself could not go; ``limits.max_depth`` may only be stricter."""

_LARGE_BYTES = 256 * 1024
_BOM = b"\xef\xbb\xbf"
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_HALF_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_DIGITS_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")

Steps = tuple[str | int, ...]


def parse(body: bytes, many: bool, limits: BodyLimits) -> Document:
    """Reads a body of any bytes; ``many`` on a batch path. Raises MalformedRequest, nothing else."""
    if not body.strip(b" \t\r\n"):
        raise malformed(
            "body_empty", "the body is empty", 'The body is empty; send a JSON object such as {"features": [...]}.'
        )
    text = _text(body)
    _check_depth(body, limits)
    reader = _Reader(body, limits)
    with _collector_at_rest(len(body)):
        value = reader.read(text)
    reader.check(value, body)
    if not isinstance(value, dict):
        kind = kind_of(value)
        hint = 'send {"features": [...]}' if isinstance(value, list) else 'such as {"features": [...]}'
        raise malformed(
            "not_an_object",
            f"expected an object, got {kind}",
            f"The body must be a JSON object, got {kind}; {hint}.",
            got=kind,
        )
    return _document(value, many)


def parse_lines(body: bytes, limits: BodyLimits) -> list[Any]:
    """The values of a body with one on each line, lines without any passed over. Raises MalformedRequest, nothing else.

    Where there are more than ``limits.max_rows``, they are counted and not read.
    """
    if not body.strip(b" \t\r\n"):
        detail = "The body is empty; send one row on each line, as a list or an object."
        raise malformed("body_empty", "the body is empty", detail)
    text = _text(body)
    _check_depth(body, limits)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip(" \t\r")]
    if len(lines) > limits.max_rows:
        return [None] * len(lines)
    reader = _Reader(body, limits)
    with _collector_at_rest(len(body)):
        values = [reader.read(line, number) for number, line in lines]
    reader.check({"rows": values}, body)
    return values


def _text(body: bytes) -> str:
    if body.startswith(_BOM):
        detail = "The body starts with a byte order mark, which JSON does not allow; send UTF-8 without it."
        raise malformed("malformed_json", "the body starts with a byte order mark", detail)
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8"
        raise malformed("not_utf8", message, f"The body is not UTF-8: {error.reason} at byte {error.start}.") from None


def _check_depth(body: bytes, limits: BodyLimits) -> None:
    allowed = min(limits.max_depth, MAX_DEPTH)
    if body.count(b"[") + body.count(b"{") <= allowed:
        return
    brackets = np.frombuffer(_STRING.sub(b"", body).translate(None, _NO_BRACKETS), dtype=np.uint8)
    # bits 1 and 2 tell opening (01) from closing (10) in ASCII, for square and curly alike
    steps = 3 - (brackets & 6).astype(np.int8)
    if brackets.size and int(np.cumsum(steps, dtype=np.int64).max()) > allowed:
        detail = f"The body nests arrays and objects more than {allowed} deep, which no request needs."
        raise malformed("nested_too_deep", f"nested more than {allowed} deep", detail)


class _Twice(dict[str, Any]):
    """An object that had a key more than once."""

    keys_twice: tuple[str, ...] = ()


class _Reader:
    """The hooks of one parse, and what they came across."""

    def __init__(self, body: bytes, limits: BodyLimits) -> None:
        self._limits = limits
        self._any_twice = False
        long = b"0" * (limits.max_digits + 1) in body.translate(_DIGITS_AS_ZERO) or limits.max_digits > 1000
        self._decode = json.JSONDecoder(
            object_pairs_hook=self._pairs,
            parse_float=real_number,
            parse_int=self._whole if long else int,
            parse_constant=self._constant,
        ).decode

    def read(self, text: str, line: int = 1) -> Any:
        """The value of a text that starts on ``line`` of the body."""
        try:
            return self._decode(text)
        except json.JSONDecodeError as error:
            where = f"line {error.lineno + line - 1}, column {error.colno}"
            what = error.msg[0].lower() + error.msg[1:].removesuffix(" at")
            raise malformed(
                "malformed_json", f"{where}: {what}", f"The body is not valid JSON: {what} at {where}."
            ) from None

    def check(self, value: Any, body: bytes) -> None:
        """Refuses keys that stand twice and half surrogates in what was read, which is all of ``value``."""
        if self._any_twice:
            raise _duplicates(value)
        if _HALF_SURROGATE.search(body):
            _check_surrogates(value)

    def _pairs(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        self._any_twice = True
        seen: set[str] = set()
        twice = _Twice(found)
        twice.keys_twice = tuple(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return twice

    def _whole(self, text: str) -> int | Unreadable:
        return whole_number(text, self._limits)

    @staticmethod
    def _constant(text: str) -> Unreadable:
        return Unreadable("not_finite", text)


@contextmanager
def _collector_at_rest(body_bytes: int) -> Iterator[None]:
    """Keeps the garbage collector from looking through a large tree, which has no cycles, again and again.

    A million empty lists would otherwise take seconds in a process that holds much else.
    """
    pause = body_bytes > _LARGE_BYTES and gc.isenabled()
    if pause:
        gc.disable()
    try:
        yield
    finally:
        if pause:
            gc.enable()


def _duplicates(value: Any) -> MalformedRequest | InvalidInput:
    faults = Faults()
    for steps, item in _containers(value):
        if isinstance(item, _Twice):
            for key in item.keys_twice:
                if faults.full(malformed=True):
                    faults.count("duplicate_key", malformed=True)
                    continue
                message = f"the key '{clip(key)}' stands more than once in one object"
                faults.add("duplicate_key", message, (*steps, key), malformed=True)
    return faults.error()


def _check_surrogates(value: Any) -> None:
    for steps, item in _containers(value):
        for step, inner in item.items() if isinstance(item, dict) else enumerate(item):
            if _half(step) or _half(inner):
                detail = "The body has half of a surrogate pair in a \\u escape, which is no character."
                place = ["?" if _half(part) else part for part in (*steps, step)]
                raise malformed("malformed_json", "half of a surrogate pair", detail, place=place)


def _half(text: Any) -> bool:
    """Whether it is a text that holds half of a surrogate pair."""
    if not isinstance(text, str) or text.isascii():
        return False
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def _containers(value: Any) -> Iterator[tuple[Steps, dict[str, Any] | list[Any]]]:
    """Every object and list inside ``value``, itself included, with the way to it."""
    waiting: list[tuple[Steps, Any]] = [((), value)]
    while waiting:
        steps, item = waiting.pop()
        if isinstance(item, dict):
            yield steps, item
            waiting.extend([((*steps, key), inner) for key, inner in item.items() if isinstance(inner, dict | list)])
        elif isinstance(item, list):
            yield steps, item
            waiting.extend([((*steps, i), inner) for i, inner in enumerate(item) if isinstance(inner, dict | list)])


# -- what the object is ------------------------------------------------------------------------------------------------


def _document(value: dict[str, Any], many: bool) -> Document:
    if "features" in value and "instances" in value:
        detail = "The body has both 'features' and 'instances', which mean the same; send one of them."
        raise malformed("features_and_instances", "both 'features' and 'instances'", detail, place=("instances",))
    version, faults = _version(value)
    key = next((key for key in ("features", "instances") if key in value), None)
    if key is None:
        if many:
            raise _no_rows_key(value)
        return Document("json", True, value, "", version, faults=faults)
    if key == "instances" and not many:
        detail = (
            "'instances' holds many rows and this path takes one: send them to the path that ends in /predict/batch, "
            "or the one row as 'features'."
        )
        raise malformed("single_expected", "expected one row, got 'instances'", detail, place=("instances",))
    payload = value.pop(key)
    return Document("json", not many, payload, f"/{key}", version, beside=tuple(value), faults=faults)


def _version(value: dict[str, Any]) -> tuple[str | None, tuple[Fault, ...]]:
    """Takes ``model_version`` out of the object."""
    if "model_version" not in value:
        return None, ()
    version = value.pop("model_version")
    if isinstance(version, str):
        return version, ()
    message = f"model_version must be a string, got {kind_of(version)}"
    return None, (Fault("wrong_type", message, "/model_version", expected="string", got=kind_of(version)),)


def _no_rows_key(value: dict[str, Any]) -> MalformedRequest:
    holds = f"has {listed(value)}" if value else "is an empty object"
    detail = f"The body {holds}, but neither 'features' nor 'instances'; send {{\"features\": [[...], [...]]}}."
    return malformed("features_missing", "'features' is missing", detail)
