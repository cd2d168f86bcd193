"""Libraries behind runtimes: what is missing is named with what installs it, and what they raise is one line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from foretell.errors import LoadFailed, MissingLibrary, SignatureMissing
from foretell.runtimes.base import Requirement
from foretell.runtimes.libraries import library, load_faults

NEEDED = Requirement("made_up_library", "made-up", "exotic")


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    (folder / "made_up_library.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "made_up_library", raising=False)


def test_a_library_that_is_there_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch, "answer = 42")
    assert library("Exotic", NEEDED).answer == 42
    assert library("Exotic", NEEDED, module="json.decoder").JSONDecoder


def test_one_that_is_missing_is_named_with_what_installs_it() -> None:
    missing = Requirement("never_there", "never-there", "exotic")
    with pytest.raises(MissingLibrary, match="Exotic models need never_there") as caught:
        library("Exotic", missing, system="apt-get install libexotic")
    assert caught.value.hint == "pip install 'foretell[exotic]'"
    with pytest.raises(MissingLibrary) as caught:
        library("Exotic", missing, hint="pip install made-up-cpu", system="apt-get install libexotic")
    assert caught.value.hint == "pip install made-up-cpu"


def test_one_that_does_not_start_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, monkeypatch, "raise OSError('libexotic.so.1: cannot open shared object file')")
    with pytest.raises(
        MissingLibrary, match=r"is installed, but a system library it needs is not: libexotic"
    ) as caught:
        library("Exotic", NEEDED, system="apt-get install libexotic")
    assert caught.value.hint == "apt-get install libexotic"
    with pytest.raises(MissingLibrary) as caught:
        library("Exotic", NEEDED)
    assert caught.value.hint == "pip install 'foretell[exotic]'"


@pytest.mark.parametrize(
    ("said", "shown"), [("\n  bad magic\nstack", "bad magic"), ("", "no message"), ("x" * 999, "x" * 200)]
)
def test_what_a_library_raises_over_a_file_is_one_line(said: str, shown: str) -> None:
    with pytest.raises(LoadFailed) as caught, load_faults("Exotic", Path("/secret/m.bin"), "mend it"):
        raise ZeroDivisionError(said)
    assert (caught.value.detail, caught.value.hint) == (f"Exotic cannot load m.bin: {shown}", "mend it")


def test_faults_of_ours_pass_as_they_are() -> None:
    with pytest.raises(SignatureMissing, match="untold"), load_faults("Exotic", Path("m"), ""):
        raise SignatureMissing("untold")
