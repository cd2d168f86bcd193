"""Bodies that nobody should send: valid requests, bent. Made by hypothesis, so that what fails is shrunk and told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

Draw = st.DrawFn
LONGEST = 250_000


class Object:
    """A JSON object as pairs, so that a key can stand twice."""

    def __init__(self, pairs: Sequence[tuple[bytes, Any]]) -> None:
        self.pairs = list(pairs)


def parsed(value: Any) -> Any:
    """A plain value as a tree of objects, lists and leaves that are JSON text."""
    if isinstance(value, dict):
        return Object([(json.dumps(key).encode(), parsed(item)) for key, item in value.items()])
    if isinstance(value, list):
        return [parsed(item) for item in value]
    return json.dumps(value).encode()


def written(node: Any) -> bytes:
    """The tree as text."""
    if isinstance(node, Object):
        return b"{" + b", ".join(key + b": " + written(item) for key, item in node.pairs) + b"}"
    if isinstance(node, list):
        return b"[" + b",".join(map(written, node)) + b"]"
    leaf: bytes = node
    return leaf


NUMBERS = [
    b"0", b"-0", b"-0.0", b"1", b"41.0", b"41.5", b"1e2", b"1E+2", b"1e-400", b"5e-324", b"1e999", b"-1e999", b"1e308",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"1" + b"0" * 400, b"9" * 5000,
    b"0." + b"1" * 3000, b"1e100000000000000000000", b"NaN", b"nan", b"Infinity", b"-Infinity", b"inf", b"+1", b"01",
    b"1.", b".5", b"0x10", b"1_000", b"--1", b"1e", b"-", b"\xd9\xa1", b"1,5", b"1 2",
]  # fmt: skip
TEXTS = [
    b'""', b'" "', b'"5.1"', b'"true"', b'"null"', b'"NaN"', b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"',
    b'"\\ud83d\\ude00"', b'"\xf0\x9f\x98\x80"', b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"',
    b'"\xe2\x80\xa8"', b'"\\x41"', b'"\\"', b'"a\nb"', b'"a\tb"', b'"\x00"', b'"\x7f"', b'"' + b"x" * 20_000 + b'"',
    b'"' + b"\\u00e9" * 2000 + b'"', b'"2026-11-20T10:30:00Z"', b'"2026-02-30T25:00:00Z"', b"'a'", b'"unclosed',
    b'"=1+1"', b'"gold"', b'"GOLD"', b'"\xcc\x81"',
]  # fmt: skip
OTHERS = [
    b"null", b"true", b"false", b"True", b"None", b"undefined", b"[]", b"{}", b"[[]]", b"[null]", b'{"a": 1}',
    b"[1, 2, 3, 4]", b"[" * 40 + b"]" * 40, b'{"a":' * 40 + b"1" + b"}" * 40, b"[" * 3000, b"", b"//", b"/* */ 1",
    b'{"": ""}', b"[" + b"1," * 5000 + b"1]",
]  # fmt: skip
KEYS = [
    b'"features"', b'"instances"', b'"model_version"', b'"feature"', b'"Features"', b'"f\\u0065atures"', b'""',
    b'"a/b~c"', b'"\\ud800"', b'"\xff"', b'"__proto__"', b'"age"', b'"sepal length (cm)"', b"features",
    b'"' + b"k" * 3000 + b'"',     b'"\\u0000"', b"1", b"null",
]  # fmt: skip
LEAVES = st.sampled_from(NUMBERS + TEXTS + OTHERS)
BYTES = st.sampled_from([*(bytes([byte]) for byte in b'{}[]",:\\0-e \t\r\n\x00\x01\x7f\x80\xff\xfe'), b"\xef\xbb\xbf"])


def places(node: Any, place: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """The way to every node of a tree."""
    inside = [item for _, item in node.pairs] if isinstance(node, Object) else node if isinstance(node, list) else []
    found = [place]
    for index, item in enumerate(inside):
        found += places(item, (*place, index))
    return found


def replaced(node: Any, place: tuple[int, ...], change: Any) -> Any:
    """The tree with ``change(node)`` at a place."""
    if not place:
        return change(node)
    head, rest = place[0], place[1:]
    if isinstance(node, Object):
        key, item = node.pairs[head]
        return Object([*node.pairs[:head], (key, replaced(item, rest, change)), *node.pairs[head + 1 :]])
    return [*node[:head], replaced(node[head], rest, change), *node[head + 1 :]]


def bent(draw: Draw, node: Any) -> Any:
    """The tree with one thing wrong, or odd."""
    place = draw(st.sampled_from(places(node)))
    kind = draw(st.sampled_from(["leaf", "leaf", "leaf", "drop", "twice", "key", "more", "wrap", "many", "odd number"]))

    def change(found: Any) -> Any:
        if kind == "wrap":
            return [found] if draw(st.booleans()) else Object([(draw(st.sampled_from(KEYS)), found)])
        if kind == "odd number":
            return repr(draw(st.floats(allow_nan=True, allow_infinity=True, width=64))).encode()
        if isinstance(found, list) and found and kind in ("drop", "twice", "more", "many"):
            index = draw(st.integers(0, len(found) - 1))
            if kind == "drop":
                return found[:index] + found[index + 1 :]
            if kind == "many":
                return found * draw(st.sampled_from([2, 5, 300, 1001]))
            return [*found, found[index] if kind == "twice" else draw(LEAVES)]
        if isinstance(found, Object) and found.pairs and kind in ("drop", "twice", "more", "key"):
            index = draw(st.integers(0, len(found.pairs) - 1))
            key, item = found.pairs[index]
            if kind == "drop":
                return Object(found.pairs[:index] + found.pairs[index + 1 :])
            if kind == "key":
                return Object([*found.pairs[:index], (draw(st.sampled_from(KEYS)), item), *found.pairs[index + 1 :]])
            return Object([*found.pairs, (key if kind == "twice" else draw(st.sampled_from(KEYS)), draw(LEAVES))])
        return draw(LEAVES)

    return replaced(node, place, change)


def scratched(draw: Draw, data: bytes) -> bytes:
    """The bytes with one scratch."""
    at = draw(st.integers(0, len(data)))
    kind = draw(st.sampled_from(["cut", "insert", "delete", "set", "front", "end", "blank", "recode", "double"]))
    match kind:
        case "cut":
            return data[:at]
        case "insert":
            return data[:at] + draw(BYTES) + data[at:]
        case "delete":
            return data[:at] + data[at + draw(st.integers(1, 8)) :]
        case "set":
            return data[:at] + draw(BYTES) + data[at + 1 :]
        case "front":
            return draw(BYTES) + data
        case "end":
            return data + draw(st.sampled_from([b"\x00", b"{}", b"]", b"//", b" " * 5000, b"\n", b",", b"\xff"]))
        case "blank":
            return data[:at] + draw(st.sampled_from([b" ", b"\t", b"\r\n", b"\x0b", b"\x0c", b"\xc2\xa0"])) + data[at:]
        case "recode":
            return data.decode("latin-1").encode(draw(st.sampled_from(["utf-16", "utf-16-le", "utf-32", "utf-8"])))
        case _:
            return data + data


@st.composite
def json_bodies(draw: Draw, documents: Sequence[Any]) -> bytes:
    """A request body of JSON, bent up to three times and scratched up to twice; now and then as it was."""
    node = parsed(draw(st.sampled_from(documents)))
    for _ in range(draw(st.integers(0, 3))):
        node = bent(draw, node)
    data = written(node)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        data = scratched(draw, data)
    return data[:LONGEST]


FIELDS = [
    b"", b" ", b"\t", b'""', b'"5.1"', b'"a""b"', b'"unclosed', b'a"b', b'"a"b', b'"a\nb"', b'"a\r\nb"', b"5.1",
    b" 5.1 ", b"5,1", b"1e999", b"-1e999", b"NaN", b"nan", b"-inf", b"Infinity", b"1e308", b"9" * 5000, b"0x10",
    b"1_000", b"+5", b"true", b"TRUE", b"1", b"0",
    b"yes", b"null", b"None", b"N/A", b"=1+1", b"@cmd", b"\x00", b"\xff", b"\xc0\xaf",
    b"\xed\xa0\x80", b"\xef\xbb\xbf5.1", b"x" * 20_000, b"\xe2\x80\xa8", b"\x85", b"\x1c", b"2026-11-20T10:30:00Z",
    b"gold", b"\xf0\x9f\x98\x80", b"'5.1'", b";", b"\\", b"\\N", b"9223372036854775808", b"41.0", b"41.5", b"\xd9\xa1",
]  # fmt: skip
ENDS = [b"\n", b"\r\n", b"\r\n", b"\n\n", b"\r", b"\n\r", b"\x0b", b"\x0c", b"\x1e", b"\xe2\x80\xa9", b""]
BENDS = ["field", "field", "field", "drop", "more", "move", "row", "no row", "blank", "end", "by"]


@st.composite
def csv_bodies(draw: Draw, tables: Sequence[list[list[bytes]]]) -> bytes:
    """A request body of CSV, bent up to four times and scratched up to twice; now and then as it was."""
    records = [list(record) for record in draw(st.sampled_from(tables))]
    separator, end = b",", b"\r\n"
    for _ in range(draw(st.integers(0, 4))):
        row = draw(st.integers(0, len(records) - 1))
        record = records[row]
        at = draw(st.integers(0, max(0, len(record) - 1)))
        kind = draw(st.sampled_from(BENDS))
        match kind:
            case "field" | "more":
                record[at : at + (kind == "field")] = [draw(st.sampled_from(FIELDS))]
            case "drop":
                del record[at : at + 1]
            case "move":
                record[:] = draw(st.permutations(record))
            case "row":
                records += [list(record)] * draw(st.sampled_from([1, 2, 200, 1001]))
            case "no row":
                if len(records) > 1:
                    del records[row]
            case "blank":
                records.insert(row, [])
            case "end":
                end = draw(st.sampled_from(ENDS))
            case _:
                separator = draw(st.sampled_from([b";", b"\t", b", ", b"|", b",,"]))
    data = end.join(separator.join(record) for record in records) + draw(st.sampled_from([end, b""]))
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        data = scratched(draw, data)
    return data[:LONGEST]
