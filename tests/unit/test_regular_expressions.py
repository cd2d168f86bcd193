"""Every regular expression of ours is fed what takes such expressions longest (faults.md, row 60).

They are found in the source, so a new one is tested the day it is written. What to feed one is made from its own
grammar: whatever it repeats, thousands of times, behind whatever leads there, with an end that does not fit.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from re import _constants as op  # type: ignore[attr-defined]  # the only reader of their grammar there is
from re import _parser  # type: ignore[attr-defined]
from typing import Any

import pytest

import foretell
from tests.report import Report

ROOT = Path(foretell.__file__).parent
SIZES = (12, 24, 512, 8192)
MOST_MS = 20.0
FULL_SIZE = 64 * 1024
FULL = pytest.mark.torture, pytest.mark.timeout(1800)
CALLS = {"match", "fullmatch", "search", "sub", "split", "findall", "finditer"}
Found = tuple[str, re.Pattern[Any], str]


def expressions() -> Iterator[Found]:
    """Where one stands, the expression, and how it is used."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        where = path.relative_to(ROOT).as_posix()
        named: dict[str, re.Pattern[Any]] = {}
        names = {id(node.value): node.targets[0] for node in ast.walk(tree) if isinstance(node, ast.Assign)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_re(node, "compile"):
                target = names.get(id(node))
                name = target.id if isinstance(target, ast.Name) else f"line {node.lineno}"
                found = _compiled(path, name, node)
                if found is not None:
                    named[name] = found
        used: set[str] = set()
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS):
                continue
            if isinstance(node.func.value, ast.Name) and node.func.value.id in named:
                name = node.func.value.id
                used.add(name)
                yield f"{where}:{name}.{node.func.attr}", named[name], node.func.attr
            elif _is_re(node, node.func.attr) and isinstance(node.args[0], ast.Constant):
                text: Any = node.args[0].value
                pattern: re.Pattern[Any] = re.compile(text)
                yield f"{where}:{node.lineno}.{node.func.attr}", pattern, node.func.attr
        for name in sorted(set(named) - used):  # handed on, or used in another module
            yield f"{where}:{name}", named[name], "search"


def _is_re(call: ast.Call, name: str) -> bool:
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr == name
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
    )


def _compiled(path: Path, name: str, call: ast.Call) -> re.Pattern[Any] | None:
    """The expression itself; None for what is compiled only to see whether it is one."""
    module = ".".join(("foretell", *path.relative_to(ROOT).with_suffix("").parts))
    found = getattr(importlib.import_module(module), name, None)
    if isinstance(found, re.Pattern):
        return found
    if not isinstance(call.args[0], ast.Constant):
        assert path.name == "signature.py", f"{path}:{call.lineno}: an expression that this test cannot see"
        return None
    made = eval(ast.unparse(call), {"re": re})  # our own source, of constants alone
    assert isinstance(made, re.Pattern)
    return made


def sample(tokens: Any) -> str:
    """A short text that the tokens take."""
    return "".join(_one(kind, value) for kind, value in tokens)


def _one(kind: Any, value: Any) -> str:
    if kind is op.LITERAL:
        return chr(value)
    if kind in (op.NOT_LITERAL, op.ANY):
        return "a" if value != ord("a") else "b"
    if kind is op.IN:
        return _member(value)
    if kind is op.BRANCH:
        return sample(value[1][-1])
    if kind is op.SUBPATTERN:
        return sample(value[3])
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
        return sample(value[2]) * max(1, int(value[0]))
    if kind is op.ATOMIC_GROUP:
        return sample(value)
    assert kind in (op.AT, op.ASSERT, op.ASSERT_NOT, op.GROUPREF), kind
    return ""


def _member(members: Any) -> str:
    if members[0][0] is op.NEGATE:
        return next(c for c in 'a1 ;"\\' if not _taken(c, members[1:]))
    kind, value = members[0]
    if kind is op.LITERAL:
        return chr(value)
    if kind is op.RANGE:
        return chr(value[0])
    return " " if value is op.CATEGORY_SPACE else "1"


def _taken(character: str, members: Any) -> bool:
    for kind, value in members:
        if kind is op.LITERAL and value == ord(character):
            return True
        if kind is op.RANGE and value[0] <= ord(character) <= value[1]:
            return True
        if kind is op.CATEGORY and value is op.CATEGORY_SPACE and character.isspace():
            return True
    return False


def units(tokens: Any, before: str = "") -> Iterator[tuple[str, str]]:
    """What leads to each thing that repeats, and what it repeats."""
    for kind, value in tokens:
        if kind in (op.MAX_REPEAT, op.MIN_REPEAT, op.POSSESSIVE_REPEAT):
            yield before, sample(value[2])
            yield from units(value[2], before)
        elif kind is op.SUBPATTERN:
            yield from units(value[3], before)
        elif kind is op.ATOMIC_GROUP:
            yield from units(value, before)
        elif kind is op.BRANCH:
            for branch in value[1]:
                yield before, sample(branch)
                yield from units(branch, before)
        elif kind is op.IN and value[0][0] is not op.NEGATE:
            yield before, _member(value)
        before += _one(kind, value)


def hostile(pattern: re.Pattern[Any]) -> list[tuple[str, str, str]]:
    """Beginning, what is repeated, and end."""
    tree = _parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)
    led = list(dict.fromkeys((before, unit) for before, unit in units(tree) if unit))
    repeats = list(dict.fromkeys([unit for _, unit in led] + [sample(tree)]))[:12]
    pairs = ["".join(pair) for pair in product(repeats[:6], repeats[:6]) if pair[0] != pair[1]]
    beginnings = list(dict.fromkeys(["", *(before for before, _ in led)]))[:6]
    texts = [
        (before, unit, end) for before in beginnings for unit in [*repeats, *pairs] if unit for end in ("", "\x00")
    ]
    return [*texts, *[("", before + unit, "!") for before, unit in led]]


def use(pattern: re.Pattern[Any], how: str) -> Callable[[Any], Any]:
    if how == "sub":
        return lambda text: pattern.sub("", text) if isinstance(text, str) else pattern.sub(b"", text)
    if how == "finditer":
        return lambda text: list(pattern.finditer(text))
    method: Callable[[Any], Any] = getattr(pattern, how)
    return method


def taken_ms(run: Callable[[Any], Any], text: Any) -> float:
    began = time.process_time()
    run(text)
    return (time.process_time() - began) * 1e3


def worst(found: Found, size: int) -> tuple[float, str]:
    """The longest that the expression takes for a text of ``size``, growing up to it so that none takes for ever."""
    where, pattern, how = found
    run = use(pattern, how)
    longest, slowest = 0.0, ""
    for before, unit, end in hostile(pattern):
        for length in (*[each for each in SIZES if each < size], size):
            text: Any = before + unit * max(1, (length - len(before) - len(end)) // len(unit)) + end
            if isinstance(pattern.pattern, bytes):
                text = text.encode("latin-1")
            most_ms = MOST_MS * length / FULL_SIZE if length > 1000 else 1.0
            ms = taken_ms(run, text)
            if ms > most_ms:  # somebody else had the processor, or it is slow
                ms = min(ms, *(taken_ms(run, text) for _ in range(9)))
            assert ms <= most_ms, f"{where}: {ms:.1f} ms for {length} of {before!r} {unit!r}... {end!r}"
            longest, slowest = max((longest, slowest), (ms, f"{where} {unit!r}"))
    return longest, slowest


def test_the_search_finds_what_is_slow() -> None:
    for pattern, how in ((r"(a+)+$", "match"), (r"a+b", "search"), (r"(x|xx)*y", "match"), (r"\s+$", "search")):
        with pytest.raises(AssertionError, match="ms for"):
            worst(("", re.compile(pattern), how), 8192)


@pytest.mark.parametrize(
    "size", [8192, pytest.param(FULL_SIZE, marks=[pytest.mark.torture, pytest.mark.timeout(1800)])]
)
def test_no_expression_of_ours_takes_long(size: int, report: Report) -> None:
    found = list(expressions())
    assert len(found) > 50
    results = [worst(each, size) for each in found]
    longest, slowest = max(results)
    report(
        "Every regular expression of ours, given what takes it longest",
        bar=f"≤ {MOST_MS:g} ms of processor time for 64 KB, in proportion for less",
        expressions=len(found),
        bytes=size,
        worst_ms=longest,
        slowest=slowest,
    )
