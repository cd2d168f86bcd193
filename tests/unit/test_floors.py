"""Libraries that are older than the versions this server was made for are told."""

from __future__ import annotations

from importlib import metadata

import pytest

from foretell.security.floors import below, outdated

REQUIREMENTS = [
    "starlette>=1.5.1",
    "uvicorn<0.55,>=0.54",
    "httptools >= 0.9",
    "pyarrow>=26.0; extra == 'data'",
    "anything",
    "pinned==3",
]


def installed(**versions: str) -> list[str]:
    def version_of(name: str) -> str:
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    return list(below(REQUIREMENTS, version_of))


@pytest.mark.parametrize("version", ["1.5.1", "1.5.1.post1", "1.10", "2", "1.5.1+local.1", "1.6rc1"])
def test_what_reaches_its_floor_is_not_told(version: str) -> None:
    assert installed(starlette=version) == []


@pytest.mark.parametrize("version", ["1.5", "1.5.0", "0.49.3", "1.4.99", "unknown"])
def test_what_does_not_is_told_with_both_versions(version: str) -> None:
    assert installed(starlette=version) == [f"starlette {version} < 1.5.1"]


def test_every_library_is_looked_at_and_what_is_not_there_is_no_matter() -> None:
    told = installed(starlette="1.5", uvicorn="0.53.9", httptools="0.9.0", pyarrow="25.1", anything="0", pinned="1")
    assert told == ["pyarrow 25.1 < 26.0", "starlette 1.5 < 1.5.1", "uvicorn 0.53.9 < 0.54"]


def test_this_environment_is_as_it_should_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outdated() == ()

    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert outdated() == ()
