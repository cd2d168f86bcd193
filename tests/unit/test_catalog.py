"""Who answers, by model, version and alias; and what is said where nobody does."""

from __future__ import annotations

import pytest

from foretell.core.identity import Ref
from foretell.errors import ForetellError, MalformedRequest, NotReady, SettingsError, UnknownModel, UnknownVersion
from foretell.lifecycle.catalog import Catalog, CatalogHolder, Entry, Reason
from foretell.lifecycle.states import State
from tests.versions import failed, ready

SHOP = [
    ready("iris", "v2"),
    ready("iris", "v10"),
    failed("iris", "v11"),
    ready("churn", "2026-11-01"),
    failed("bad", "v1"),
]


@pytest.mark.parametrize(
    ("model", "version", "expected"),
    [
        ("iris", None, "iris v10"),
        ("iris", "latest", "iris v10"),
        ("iris", "v2", "iris v2"),
        ("iris", "v10", "iris v10"),
        ("churn", None, "churn 2026-11-01"),
        (None, None, "iris v10"),
        (None, "v2", "iris v2"),
        (None, "latest", "iris v10"),
    ],
)
def test_what_is_ready_is_found(model: str | None, version: str | None, expected: str) -> None:
    assert str(Catalog.of(SHOP, "iris").resolve(model, version).ref) == expected


@pytest.mark.parametrize(
    ("model", "version", "error", "words"),
    [
        ("irsi", None, UnknownModel, ["no model 'irsi'", "Did you mean 'iris'?", "bad, churn, iris"]),
        ("zzz", "v1", UnknownModel, ["no model 'zzz'", "bad, churn, iris"]),
        ("Iris", None, UnknownModel, ["Did you mean 'iris'?"]),
        ("iris", "v3", UnknownVersion, ["no version 'v3'", "v11, v10, v2"]),
        ("iris", "v11", NotReady, ["Version v11 of model iris is not ready: it is failed"]),
        ("bad", None, NotReady, ["No version of model bad is ready"]),
        ("bad", "latest", NotReady, ["No version of model bad is ready"]),
        ("bad", "v1", NotReady, ["Version v1 of model bad is not ready"]),
        ("bad", "v2", UnknownVersion, ["no version 'v2'"]),
    ],
)
def test_what_is_not_ready_is_explained(
    model: str | None, version: str | None, error: type[ForetellError], words: list[str]
) -> None:
    with pytest.raises(error) as caught:
        Catalog.of(SHOP, "iris").resolve(model, version)
    assert type(caught.value) is error
    assert all(word in caught.value.detail for word in words), caught.value.detail


def test_an_unknown_name_comes_with_a_fault_that_machines_can_read() -> None:
    with pytest.raises(UnknownVersion) as caught:
        Catalog.of(SHOP).resolve("iris", "v12")
    fault = caught.value.faults[0]
    assert (fault.code, fault.got, fault.expected) == ("unknown_version", "v12", ["v11", "v10", "v2"])
    assert fault.suggestion in {"v2", "v10", "v11"}


def test_several_ready_models_without_a_default_are_listed() -> None:
    with pytest.raises(MalformedRequest) as caught:
        Catalog.of(SHOP).resolve()
    assert caught.value.instance_code == "default_model_ambiguous"
    assert "bad, churn, iris" in caught.value.detail


def test_the_only_ready_model_is_the_default_whatever_is_broken_beside_it() -> None:
    catalog = Catalog.of([ready("iris", "v1"), failed("bad", "v1")])
    assert catalog.default_model == "iris"
    assert catalog.resolve().ref == Ref("iris", "v1")


def test_the_only_model_is_the_default_also_before_it_is_ready() -> None:
    with pytest.raises(NotReady, match="No version of model bad is ready"):
        Catalog.of([failed("bad", "v1")]).resolve()


@pytest.mark.parametrize("name", [None, "iris"])
def test_an_empty_catalog_is_not_ready(name: str | None) -> None:
    with pytest.raises(NotReady, match="No model is loaded"):
        Catalog().resolve(name)


def test_a_default_model_that_went_away_is_unknown() -> None:
    with pytest.raises(UnknownModel, match="no model 'gone'"):
        Catalog.of(SHOP, "gone").resolve()


def test_a_version_called_like_the_alias_never_answers_for_it() -> None:
    catalog = Catalog.of([ready("iris", "v1"), failed("iris", "latest")])
    assert catalog.resolve("iris", "latest").ref.version == "v1"
    assert catalog.get("iris").aliases == {"latest": "v1"}


def test_names_in_an_answer_are_clipped_and_counted() -> None:
    with pytest.raises(UnknownModel) as caught:
        Catalog.of([ready("m" * 100 + str(number), "v1") for number in range(500)]).resolve("x" * 5000)
    assert len(caught.value.detail) < 2000
    assert "and 480 more" in caught.value.detail
    assert len(caught.value.faults[0].expected) == 20


def test_a_default_model_that_is_not_there_is_refused_at_start_with_the_one_meant() -> None:
    with pytest.raises(SettingsError, match=r"'irsi', but there is no such model\. Did you mean 'iris'\?") as caught:
        Catalog.of(SHOP, "irsi").check_default()
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(("entries", "default"), [(SHOP, "iris"), (SHOP, "bad"), (SHOP, None), ([], "later")])
def test_other_default_models_pass(entries: list[Entry], default: str | None) -> None:
    Catalog.of(entries, default).check_default()


@pytest.mark.parametrize(
    ("policy", "expected"),
    [("any", True), ("all", False), (["iris"], True), (["iris", "churn"], True), (["bad"], False), (["absent"], False)],
)
def test_readiness_follows_the_policy(policy: str | list[str], expected: bool) -> None:
    assert Catalog.of(SHOP).is_ready(policy) is expected


@pytest.mark.parametrize("policy", ["any", "all", [], ["iris"]])
def test_a_server_without_any_model_is_not_ready(policy: str | list[str]) -> None:
    assert not Catalog().is_ready(policy)


def test_versions_stand_oldest_first_and_models_by_name() -> None:
    catalog = Catalog.of(SHOP)
    assert [str(entry.ref) for entry in catalog.entries] == [
        "bad v1", "churn 2026-11-01", "iris v2", "iris v10", "iris v11",
    ]  # fmt: skip
    assert [str(model.state) for model in catalog.models.values()] == ["failed", "ready", "ready"]
    assert [str(servable.ref) for servable in catalog.servables] == ["churn 2026-11-01", "iris v2", "iris v10"]


def test_a_model_knows_its_entries_by_version_and_alias() -> None:
    model = Catalog.of(SHOP).get("iris")
    assert model.find("latest") is model.find("v10")
    assert model.find("v11").state is State.FAILED  # type: ignore[union-attr]
    assert model.find("v3") is None
    with pytest.raises(UnknownModel):
        Catalog.of(SHOP).get("irsi")


def test_a_change_makes_a_new_snapshot_and_leaves_the_old_one() -> None:
    before = Catalog.of(SHOP, "iris")
    after = before.with_changes({Ref("iris", "v12"): ready("iris", "v12"), Ref("churn", "2026-11-01"): None})
    assert before.resolve("iris").ref.version == "v10"
    assert after.resolve("iris").ref.version == "v12"
    assert after.resolve().ref.version == "v12"
    assert after.generation == before.generation + 1
    assert "churn" in before.models
    assert "churn" not in after.models
    assert after.models["bad"] is before.models["bad"]


def test_taking_out_what_is_not_there_changes_nothing() -> None:
    assert "no" not in Catalog.of(SHOP).with_changes({Ref("no", "v1"): None}).models


def test_listeners_hear_of_changes_of_who_answers_and_of_nothing_else() -> None:
    holder = CatalogHolder(Catalog.of(SHOP))
    heard: list[int] = []
    holder.subscribe(lambda catalog: heard.append(len(catalog.servables)))
    assert heard == [3]
    holder.swap(holder.current.with_changes({Ref("iris", "v11"): Entry(Ref("iris", "v11"), State.LOADING)}))
    assert heard == [3]
    holder.swap(holder.current.with_changes({Ref("iris", "v11"): ready("iris", "v11")}))
    assert heard == [3, 4]


def test_a_listener_that_fails_takes_nothing_along() -> None:
    holder = CatalogHolder()
    heard: list[Catalog] = []

    def failing(catalog: Catalog) -> None:
        if catalog.models:
            raise RuntimeError("broken listener")

    holder.subscribe(failing)
    holder.subscribe(heard.append)
    holder.swap(Catalog.of(SHOP))
    assert heard[-1] is holder.current
    assert holder.current.resolve("iris").ref.version == "v10"


def test_a_reason_is_the_errors_code_and_words() -> None:
    assert Reason.of(NotReady("not now", hint="wait")) == Reason("not_ready", "not now", "wait")
