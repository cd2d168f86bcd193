"""What a run keeps: nothing that is not safe counts, and only the same run goes on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from foretell.cli.scoring import work as work_module
from foretell.cli.scoring.parts import Part
from foretell.cli.scoring.scorer import Scored
from foretell.cli.scoring.work import Done, RunDiffers, Work, open_work
from foretell.errors import OperatorError

PLAN = {"input": "rows.csv", "digest": "one"}


@pytest.fixture(autouse=True)
def _every_part_is_safe_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "CHECKPOINT_S", 0.0)


def part(work: Work, index: int, content: bytes, faulty: int = 0) -> Scored:
    path = work.part_path(index)
    path.write_bytes(content)
    return Scored(Part(index, index * 10, index * 10 + 10), path, content.count(b"\n"), faulty)


def begun(target: Path, parts: int, plan: Any = None) -> None:
    """A run that did some parts and was killed."""
    with open_work(target, plan or PLAN, restart=False) as work:
        for index in range(work.done.parts, parts):
            work.append(part(work, index, b"row %d\n" % index, index % 2))


def test_a_finished_run_leaves_its_output_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_bytes(b"from an earlier run")
    with open_work(target, PLAN, restart=False) as work:
        work.append(part(work, 0, b"a\nb\n"))
        assert target.read_bytes() == b"from an earlier run"
        work.checkpoint()
        work.finish(work.rows)
    assert target.read_bytes() == b"a\nb\n"
    assert list(tmp_path.iterdir()) == [target]


def test_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    begun(target, 2)
    with open_work(target, PLAN, restart=False) as work:
        assert work.resumed
        assert work.done == Done(parts=2, offset=20, bytes=12, rows=2, faulty=1)
        work.append(part(work, 2, b"row 2\n"))
        work.finish(work.rows)
    assert target.read_bytes() == b"row 0\nrow 1\nrow 2\n"


@pytest.mark.parametrize("torn", [b"", b'{"parts":3,"off', b'{"parts":3}'])
def test_what_the_journal_does_not_say_is_cut_off_and_made_again(tmp_path: Path, torn: bytes) -> None:
    target = tmp_path / "out.csv"
    begun(target, 2)
    folder = tmp_path / "out.csv.scoring"
    with (folder / "rows").open("ab") as rows, (folder / "journal").open("ab") as journal:
        rows.write(b"half a r")
        journal.write(torn)
    (folder / "part-1-7").write_bytes(b"of a process that is gone")
    begun(target, 4)
    assert (folder / "rows").read_bytes() == b"row 0\nrow 1\nrow 2\nrow 3\n"
    assert not list(folder.glob("part-*"))


def test_another_run_is_refused_in_words_unless_it_begins_anew(tmp_path: Path) -> None:
    target, other = tmp_path / "out.csv", {"input": "rows.csv", "digest": "two", "more": 1}
    begun(target, 2)
    with pytest.raises(RunDiffers, match="digest was one and is two, more was not given and is 1") as caught:
        begun(target, 3, other)
    assert "--restart" in str(caught.value.hint)
    with open_work(target, other, restart=True) as work:
        assert work.done == Done()
        assert work.rows.read_bytes() == b""


def test_nothing_done_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), open_work(tmp_path / "out.csv", PLAN, restart=False):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_one_process_at_a_time(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with (
        open_work(target, PLAN, restart=False),
        pytest.raises(OperatorError, match="Another process"),
        open_work(target, PLAN, restart=False),
    ):
        pass
    with (
        pytest.raises(OperatorError, match="cannot be written"),
        open_work(tmp_path / "no" / "out", PLAN, restart=False),
    ):
        pass


def test_a_plan_that_cannot_be_read_is_no_plan(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    begun(target, 1)
    (tmp_path / "out.csv.scoring" / "plan.json").write_bytes(b"{")
    with open_work(target, PLAN, restart=False) as work:
        assert work.done == Done()


def test_parts_are_made_safe_once_in_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "CHECKPOINT_S", 1e9)
    target = tmp_path / "out.csv"
    begun(target, 3)
    with open_work(target, PLAN, restart=False) as work:
        assert work.done == Done()
