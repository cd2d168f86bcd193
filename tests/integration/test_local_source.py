"""What a path is (contract §1): a file, a version, a model, a repository."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from foretell.errors import IntegrityError, OperatorError, PathMissing, UnrecognisedArtifact, UntrustedArtifact
from foretell.runtimes import registry
from foretell.settings import Trust
from foretell.sources.local import LocalSource
from tests.versions import artifact_of, local, manifest_of, write_bare, write_version


def refs(path: Path) -> list[str]:
    return sorted(str(found.ref) + (" !" if found.fault else "") for found in local(path).scan())


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("churn.fake", "churn v1"),
        ("model.fake", "shop v1"),
        ("iris.v2.fake", "iris.v2 v1"),
        ("my model.fake", "my model v1 !"),
        ("notes.txt", "notes v1 !"),
    ],
)
def test_a_file_is_a_model_named_by_itself_or_its_folder(tmp_path: Path, file: str, expected: str) -> None:
    write_bare(tmp_path / "shop", name=file)
    assert refs(tmp_path / "shop" / file) == [expected]


def test_a_linked_file_bears_the_links_name(tmp_path: Path) -> None:
    write_bare(tmp_path / "store", name="0a1b2c.fake")
    (tmp_path / "churn.fake").symlink_to("store/0a1b2c.fake")
    found = local(tmp_path / "churn.fake").scan()[0]
    assert (str(found.ref), found.artifact) == ("churn v1", (tmp_path / "store" / "0a1b2c.fake").resolve())


def test_a_repository_holds_models_with_versions(tmp_path: Path) -> None:
    for path in ("iris/v1", "iris/v2", "churn/2026-11-01", "churn/champion"):
        write_version(tmp_path / path)
    write_bare(tmp_path / "bare" / "v1")
    (tmp_path / "README.md").write_text("not a model")
    assert refs(tmp_path) == ["bare v1", "churn 2026-11-01", "churn champion", "iris v1", "iris v2"]


def test_a_model_folder_is_one_model(tmp_path: Path) -> None:
    write_version(tmp_path / "iris" / "v1")
    write_version(tmp_path / "iris" / "champion")
    write_bare(tmp_path / "iris" / "v3")
    assert refs(tmp_path / "iris") == ["iris champion", "iris v1", "iris v3"]


def test_a_model_folder_under_another_path_is_the_same_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_version(tmp_path / "iris" / "v1")
    (tmp_path / "flower").symlink_to("iris")
    monkeypatch.chdir(tmp_path / "iris")
    assert refs(Path()) == ["iris v1"]
    assert refs(Path("v1")) == ["iris v1"]
    assert refs(Path("v1/..")) == ["iris v1"]
    assert refs(tmp_path / "flower") == ["flower v1"]


def test_a_version_folder_is_that_version(tmp_path: Path) -> None:
    write_version(tmp_path / "iris" / "v7")
    write_bare(tmp_path / "churn" / "2026-11-01")
    assert refs(tmp_path / "iris" / "v7") == ["iris v7"]
    assert refs(tmp_path / "iris" / "v7" / "manifest.toml") == ["iris v7"]
    assert refs(tmp_path / "churn" / "2026-11-01") == ["churn 2026-11-01"]


def test_a_packaged_folder_without_a_versions_name_is_a_model_of_one_version(tmp_path: Path) -> None:
    write_version(tmp_path / "churn")
    assert refs(tmp_path / "churn") == ["churn v1"]


def test_models_of_one_version_need_no_folder_for_it(tmp_path: Path) -> None:
    write_bare(tmp_path / "churn")
    write_bare(tmp_path / "iris", name="iris.fake")
    write_version(tmp_path / "spam" / "v1")
    assert refs(tmp_path) == ["churn v1", "iris v1", "spam v1"]


def test_a_packaged_model_beside_models_with_versions_does_not_hide_them(tmp_path: Path) -> None:
    write_version(tmp_path / "churn")
    write_version(tmp_path / "iris" / "v1")
    assert refs(tmp_path) == ["churn v1", "iris v1"]


def test_files_in_a_repository_are_models(tmp_path: Path) -> None:
    root = tmp_path / "models"
    write_bare(root, name="a.fake")
    write_bare(root, name="b.fake")
    write_version(root / "iris" / "v1")
    write_bare(root, name="iris.fake")
    write_bare(root, name="model.fake")
    assert refs(root) == ["a v1", "b v1", "iris iris.fake !", "iris v1", "models v1"]


def test_a_file_beside_versions_is_reported_and_takes_nothing_along(tmp_path: Path) -> None:
    write_version(tmp_path / "iris" / "v1")
    write_bare(tmp_path / "iris", name="model.fake")
    write_version(tmp_path / "iris" / "v2")
    assert refs(tmp_path) == ["iris model.fake !", "iris v1", "iris v2"]


def test_a_manifest_beside_versions_is_reported_and_takes_nothing_along(tmp_path: Path) -> None:
    write_version(tmp_path / "iris" / "v1")
    (tmp_path / "iris" / "manifest.toml").write_text("")
    write_version(tmp_path / "churn" / "v1")
    assert refs(tmp_path) == ["churn v1", "iris manifest.toml !", "iris v1"]


def test_hidden_entries_and_caches_are_left_out(tmp_path: Path) -> None:
    write_version(tmp_path / "iris" / "v1")
    for hidden in (".git", "__pycache__", "iris/.v2", "iris/__pycache__"):
        write_version(tmp_path / hidden)
    write_bare(tmp_path / "iris" / "v3")
    write_bare(tmp_path / "iris" / "v3", name=".other.fake")
    assert refs(tmp_path) == ["iris v1", "iris v3"]


def test_an_empty_folder_holds_nothing(tmp_path: Path) -> None:
    assert refs(tmp_path) == []


def test_a_folder_of_a_repository_without_a_model_is_reported(tmp_path: Path) -> None:
    write_version(tmp_path / "iris" / "v1")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "todo.txt").write_text("write notes")
    (tmp_path / "iris" / "v2").mkdir()
    assert refs(tmp_path) == ["iris v1", "iris v2 !", "notes v1 !"]
    faults = {found.ref.model + found.ref.version: found.fault for found in local(tmp_path).scan() if found.fault}
    assert "it holds todo.txt" in faults["notesv1"].detail
    assert "it holds no file" in faults["irisv2"].detail
    assert all(type(fault) is UnrecognisedArtifact for fault in faults.values())


def test_one_recognised_file_is_the_model_whatever_lies_beside_it(tmp_path: Path) -> None:
    folder = write_bare(tmp_path / "iris" / "v1")
    (folder / "train.csv").write_text("x,y")
    (folder / "scaler.fakecode").write_text("1")
    found = local(tmp_path).scan()[0]
    assert (found.fault, found.artifact) == (None, folder / "model.fake")
    assert found.recognition is not None
    assert found.recognition.reason == "its name ends in .fake"


def test_two_recognised_files_are_too_many(tmp_path: Path) -> None:
    write_bare(tmp_path / "iris" / "v1", name="a.fake")
    write_bare(tmp_path / "iris" / "v1", name="b.fake")
    fault = local(tmp_path).scan()[0].fault
    assert type(fault) is UnrecognisedArtifact
    assert "several files in the folder are recognised as models: a.fake, b.fake" in fault.detail


@pytest.mark.parametrize("shape", ["file", "version", "repository"])
def test_code_is_answered_with_the_line_that_stores_it_as_data(
    tmp_path: Path, shape: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_bare(tmp_path / "models" / "churn" / "v1", name="churn.fakecode")
    write_version(tmp_path / "models" / "iris" / "v1")
    path = {
        "file": Path("models/churn/v1/churn.fakecode"),
        "version": Path("models/churn/v1"),
        "repository": Path("models"),
    }[shape]
    fault = next(found.fault for found in local(path).scan() if found.ref.model == "churn")
    assert type(fault) is UntrustedArtifact
    assert fault.detail.endswith("foretell add churn churn.fakecode --example DATA.csv --trust-pickle")
    line = "foretell add churn models/churn/v1/churn.fakecode --example DATA.csv --trust-pickle"
    assert fault.hint == line


def test_the_line_is_quoted_for_a_shell(tmp_path: Path) -> None:
    write_bare(tmp_path / "iris" / "v1", name="a b;c.fakecode")
    fault = local(tmp_path).scan()[0].fault
    assert fault is not None
    assert "foretell add iris 'a b;c.fakecode' --example" in fault.detail


def test_code_under_a_manifest_is_code_all_the_same(tmp_path: Path) -> None:
    folder = write_version(tmp_path / "iris" / "v1")
    text = (folder / "manifest.toml").read_text().replace("model.fake", "model.fakecode")
    (folder / "manifest.toml").write_text(text)
    (folder / "model.fake").rename(folder / "model.fakecode")
    assert type(local(tmp_path).scan()[0].fault) is UntrustedArtifact


def test_a_manifest_is_read_and_its_first_file_is_the_artifact(tmp_path: Path) -> None:
    folder = write_version(tmp_path / "iris" / "v1")
    found = local(tmp_path).scan()[0]
    assert (found.fault, found.artifact, found.folder) == (None, folder / "model.fake", folder)
    assert found.manifest == manifest_of()


def test_stamps_stay_until_something_is_touched(tmp_path: Path) -> None:
    packaged, bare = write_version(tmp_path / "iris" / "v1"), write_bare(tmp_path / "iris" / "v2")

    def stamps() -> list[str]:
        return [found.stamp for found in local(tmp_path).scan()]

    first = stamps()
    assert stamps() == first
    (packaged / "notes.txt").write_text("beside")
    assert stamps() == first
    (bare / "model.fake").write_bytes(b"2")
    assert [now == before for now, before in zip(stamps(), first, strict=True)] == [True, False]
    (packaged / "manifest.toml").touch()
    assert stamps()[0] != first[0]


def test_what_is_not_there_is_the_operators_to_mend(tmp_path: Path) -> None:
    with pytest.raises(PathMissing, match=r"There is no model at .*nowhere"):
        local(tmp_path / "nowhere").scan()


def test_what_is_neither_file_nor_folder_is_refused() -> None:
    with pytest.raises(OperatorError, match="neither a file nor a folder"):
        local(Path("/dev/null")).scan()


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(PathMissing):
        local(tmp_path / "a").scan()


def test_a_file_that_is_gone_before_it_is_opened_is_missing(tmp_path: Path) -> None:
    source = local(tmp_path)
    write_bare(tmp_path / "iris" / "v1")
    found = source.scan()[0]
    (found.folder / "model.fake").unlink()
    with pytest.raises(IntegrityError, match=r"model\.fake is missing"), source.open(found):
        pass


def test_a_model_in_python_is_served_with_what_lies_beside_it(tmp_path: Path) -> None:
    folder = write_bare(tmp_path / "iris" / "v1", name="model.py", content=b"class M:\n    def predict(self): ...\n")
    for name in ("weights.onnx", "more.pkl"):
        (folder / name).write_bytes(b"\x80\x05.")
    for path in (folder, folder.parent, tmp_path, folder / "model.py"):
        (found,) = LocalSource(path, registry.recognise).scan()
        assert found.fault is None
        assert (found.artifact, found.recognition and found.recognition.runtime) == (folder / "model.py", "python")


def pickled(folder: Path, runtime: str = "pickle", name: str = "model.pkl") -> Path:
    """A version folder with a manifest and a pickle."""
    manifest = replace(manifest_of(b"1", runtime=runtime), artifacts=(artifact_of(b"\x80\x05.", name),))
    write_version(folder, b"1", manifest)
    (folder / name).write_bytes(b"\x80\x05.")
    return folder


@pytest.mark.parametrize("allowed", ["iris", "iris/v1"])
def test_a_pinned_pickle_is_served_where_it_is_allowed_by_name(tmp_path: Path, allowed: str) -> None:
    for version in ("v1", "v2"):
        pickled(tmp_path / "iris" / version)
    pickled(tmp_path / "churn" / "v1")
    trust = Trust(pickle=(allowed,))
    found = {str(item.ref): item.fault for item in LocalSource(tmp_path, registry.recognise, trust.allows).scan()}
    assert found["iris v1"] is None
    assert (found["iris v2"] is None) is (allowed == "iris")
    assert isinstance(found["churn v1"], UntrustedArtifact)


@pytest.mark.parametrize(("runtime", "name"), [("pickle", "model.bin"), ("torch", "model.bin"), ("onnx", "model.pkl")])
def test_code_is_code_whatever_the_manifest_or_the_file_says(tmp_path: Path, runtime: str, name: str) -> None:
    folder = pickled(tmp_path / "iris" / "v1", runtime, name)
    (folder / "model.bin").write_bytes(b"(lp0\n.")  # a pickle of protocol 0 looks like anything
    (found,) = LocalSource(tmp_path, registry.recognise).scan()
    assert isinstance(found.fault, UntrustedArtifact)
    assert 'trust.pickle = ["iris"], or FORETELL_TRUST__PICKLE=iris' in found.fault.detail
    hint = "FORETELL_TRUST__PICKLE=iris" if runtime == "torch" else "foretell add iris "
    assert (found.fault.hint or "").startswith(hint)


def test_a_bare_pickle_is_refused_even_where_its_name_is_allowed(tmp_path: Path) -> None:
    write_bare(tmp_path / "iris" / "v1", b"\x80\x05.", "model.pkl")
    (found,) = LocalSource(tmp_path, registry.recognise, Trust(pickle=("iris",)).allows).scan()
    assert isinstance(found.fault, UntrustedArtifact)
    assert "foretell add iris model.pkl --example DATA.csv --trust-pickle" in found.fault.detail
