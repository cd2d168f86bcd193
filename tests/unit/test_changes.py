"""What a scan means for the catalog."""

from __future__ import annotations

from pathlib import Path

from foretell.core.identity import Ref
from foretell.errors import ArtifactError, IntegrityError
from foretell.lifecycle.catalog import Catalog
from foretell.lifecycle.changes import changes, last_resorts
from foretell.sources.base import WHOLE, Found
from tests.versions import failed, ready


def found(*texts: str, stamp: str = "", fault: ArtifactError | None = None) -> dict[Ref, Found]:
    refs = [Ref(*text.split()) for text in texts]
    return {ref: Found(ref, Path(), Path("model.fake"), stamp=stamp, fault=fault) for ref in refs}


def names(refs: object) -> list[str]:
    return [str(getattr(item, "ref", item)) for item in refs]  # type: ignore[attr-defined]


DAMAGED = IntegrityError("damaged")


def test_new_and_failed_versions_are_loaded_the_newest_of_each_model_first() -> None:
    plan = changes(Catalog.of([failed("a", "v3")]), found("b v1", "a v2", "a v10", "a v3"))
    assert names(plan.load) == ["a v10", "a v3", "a v2", "b v1"]
    assert not (plan.faulty or plan.touched or plan.untouched or plan.gone)


def test_what_is_ready_and_as_it_was_is_left_alone() -> None:
    plan = changes(Catalog.of([ready("a", "v1")]), found("a v1"))
    assert (names(plan.untouched), plan.load, plan.touched, plan.gone) == (["a v1"], [], [], [])


def test_what_is_ready_and_not_as_it_was_is_looked_at_and_never_loaded() -> None:
    catalog = Catalog.of([ready("a", "v1"), ready("a", "v2")])
    plan = changes(catalog, found("a v1", stamp="other") | found("a v2", fault=DAMAGED))
    assert (names(plan.touched), plan.load, plan.faulty) == (["a v1", "a v2"], [], [])


def test_what_was_found_with_a_fault_is_not_loaded() -> None:
    plan = changes(Catalog.of([failed("a", "v1")]), found("a v1", "a v2", fault=DAMAGED))
    assert (names(plan.faulty), plan.load) == (["a v1", "a v2"], [])


def test_what_is_not_found_is_gone_whatever_its_state() -> None:
    plan = changes(Catalog.of([ready("a", "v1"), failed("a", "v2"), ready("b", "v1")]), found("b v1"))
    assert names(plan.gone) == ["a v1", "a v2"]


def test_a_folder_that_cannot_be_read_hides_its_versions_and_removes_none() -> None:
    catalog = Catalog.of([ready("a", "v1"), ready("b", "v1")])
    assert names(changes(catalog, found(f"a {WHOLE}", fault=DAMAGED)).gone) == ["b v1"]
    assert names(changes(catalog, found(f"{WHOLE} {WHOLE}", fault=DAMAGED)).gone) == []


def test_a_folder_that_can_be_read_again_is_no_fault_any_more() -> None:
    catalog = Catalog.of([ready("a", "v1"), failed("a", WHOLE)])
    assert names(changes(catalog, found("a v1")).gone) == [f"a {WHOLE}"]


def test_the_newest_ready_version_stays_where_only_broken_ones_are_left() -> None:
    catalog = Catalog.of([ready("a", "v1"), ready("a", "v2"), failed("a", "v3")])
    assert last_resorts(catalog, [Ref("a", "v1"), Ref("a", "v2")], found("a v3")) == {Ref("a", "v2")}


def test_nothing_stays_where_another_version_is_ready() -> None:
    catalog = Catalog.of([ready("a", "v1"), ready("a", "v2")])
    assert last_resorts(catalog, [Ref("a", "v1")], found("a v2")) == set()


def test_nothing_stays_of_a_model_that_was_removed() -> None:
    catalog = Catalog.of([ready("a", "v1"), ready("b", "v1")])
    assert last_resorts(catalog, [Ref("a", "v1")], found("b v1")) == set()


def test_nothing_stays_of_a_model_that_never_was_ready() -> None:
    catalog = Catalog.of([failed("a", "v1"), failed("a", "v2")])
    assert last_resorts(catalog, [Ref("a", "v1")], found("a v2")) == set()
