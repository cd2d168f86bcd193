"""Runtimes come in by entry points; a broken one is reported, not fatal."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.errors import LoadFailed, UnrecognisedArtifact
from foretell.runtimes import registry
from foretell.runtimes.base import (
    ENTRY_POINT_GROUP,
    LoadOptions,
    Recognition,
    Requirement,
    Runtime,
    Trust,
    isolation_of,
)
from foretell.runtimes.registry import Registry


class Twin:
    """A plugin that calls itself by a name that is taken."""

    name = "onnx"
    requires = ()

    def recognise(self, path: Path) -> Recognition | None:
        return Recognition("twin", "it takes everything")

    def load(self, path: Path, signature: object, options: object) -> None:
        raise NotImplementedError


class Own(Twin):
    """A plugin of its own name."""

    name = "own"


twin, own, half = Twin(), Own(), object()


def door(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, ENTRY_POINT_GROUP)


BUILT_IN = [door(name, f"foretell.runtimes.{name}:runtime") for name in ("sklearn", "onnx", "xgboost", "lightgbm")]


def test_the_built_in_runtimes_come_in_by_entry_points() -> None:
    assert set(registry.installed().runtimes) >= {"sklearn", "onnx", "xgboost", "lightgbm"}
    assert registry.installed().broken == {}


def test_broken_plugins_are_reported_and_the_rest_works() -> None:
    gone = door("gone", "no_such_module_at_all:runtime")
    found = Registry([gone, door("half", f"{__name__}:half"), door("twin", f"{__name__}:twin"), *BUILT_IN])
    assert set(found.runtimes) == {"sklearn", "onnx", "xgboost", "lightgbm"}
    assert "cannot be imported" in found.broken["gone"]
    assert "lacks name, requires, recognise, load" in found.broken["half"]
    assert "which is taken" in found.broken["twin"]
    with pytest.raises(UnrecognisedArtifact, match="cannot be imported"):
        found.get("gone")


def test_a_plugin_cannot_take_a_file_from_a_built_in(tmp_path: Path) -> None:
    path = tmp_path / "model.txt"
    path.write_text("tree\nversion=v4\n")
    found = Registry([door("own", f"{__name__}:own"), *BUILT_IN])
    recognition = found.recognise(path)
    assert recognition is not None
    assert recognition.runtime == "lightgbm"
    other = tmp_path / "model.own"
    other.write_text("anything")
    assert found.recognise(other) == Recognition("twin", "it takes everything")


def test_an_unknown_runtime_names_those_there_are() -> None:
    with pytest.raises(UnrecognisedArtifact, match=r"lightgbm, litert, onnx, .*did you mean 'sklearn'"):
        registry.get("sklern")
    with pytest.raises(UnrecognisedArtifact, match="there are none"):
        Registry([]).get("anything")


@pytest.mark.parametrize(
    ("name", "content"),
    [("m.pkl", b""), ("m.joblib", b"\x78\x9c"), ("m", b"\x80\x04\x95")],
)
def test_pickles_are_code_and_say_how_to_go_on(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    recognition = registry.recognise(path)
    assert recognition is not None
    assert (recognition.runtime, recognition.trust) == ("pickle", Trust.CODE)
    assert f"foretell add NAME {name} --trust-pickle" in recognition.reason


def test_a_file_nobody_knows_is_none(tmp_path: Path) -> None:
    path = tmp_path / "notes.md"
    path.write_text("# notes")
    assert registry.recognise(path) is None
    assert registry.recognise(tmp_path / "not-there.bin") is None
    assert registry.recognise(tmp_path) is None


STARTS = [b"", b"PK\x03\x04", b"tree\n", b'{"learner"', b"{L\0\0\0\0\0\0\0\x07learner", b"\x08\x0a\x12", b"\x80\x04"]
SUFFIXES = ["", ".skops", ".onnx", ".ubj", ".json", ".txt", ".pkl", ".zip"]


def test_a_plugin_that_says_nothing_of_processes_may_run_in_any() -> None:
    assert isolation_of(cast(Runtime, own)) == "any"
    assert {isolation_of(registry.get(name)) for name in ("sklearn", "onnx", "xgboost", "lightgbm")} == {"any"}


@pytest.mark.parametrize("name", ["sklearn", "xgboost", "lightgbm"])
def test_a_device_that_the_runtime_does_not_know_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match=r"'cuda:0'.*processor only"):
        registry.get(name).load(tmp_path / "model", None, LoadOptions(device="cuda:0"))


@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=200), suffix=st.sampled_from(SUFFIXES))
def test_recognising_never_raises(
    start: bytes, rest: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"random{suffix}"
    path.write_bytes(start + rest)
    recognition = registry.recognise(path)
    assert recognition is None or recognition.reason


def test_a_requirement_knows_its_install_line() -> None:
    assert Requirement("xgboost", "xgboost-cpu", "xgboost").install == "pip install 'foretell[xgboost]'"
