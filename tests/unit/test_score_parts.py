"""Parts of a file: they tile it, end with records, and depend on nothing but the file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.cli.scoring import parts
from foretell.cli.scoring.parts import header_end, text_parts


@contextmanager
def opened(content: bytes, folder: Path) -> Iterator[int]:
    path = folder / "rows"
    path.write_bytes(content)
    file = os.open(path, os.O_RDONLY)
    try:
        yield file
    finally:
        os.close(file)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parts")


CELL = st.sampled_from(["", "a", "12.5", "x,y", 'say "hi"', "two\nlines", '"', "\n"])


@pytest.fixture(scope="module", autouse=True)
def _small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "PART_BYTES", 16)
        patch.setattr(parts, "_LOOK_BYTES", 64)
        patch.setattr(parts, "_BLOCK_BYTES", 5)
        yield


@settings(deadline=None)
@given(rows=st.lists(st.lists(CELL, min_size=2, max_size=2), max_size=12))
def test_parts_of_a_csv_file_tile_it_and_end_with_records(folder: Path, rows: list[list[str]]) -> None:
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows(rows)
    content = written.getvalue().encode()
    with opened(content, folder) as file:
        found = list(text_parts(file, len(content), quoted=True))
    assert b"".join(content[part.start : part.stop] for part in found) == content
    assert [part.index for part in found] == list(range(len(found)))
    texts = [content[part.start : part.stop].decode() for part in found]
    assert [row for text in texts for row in csv.reader(io.StringIO(text, newline=""))] == rows


def test_parts_begin_anywhere_and_are_the_same(folder: Path) -> None:
    content = b"".join(b"%d,row\n" % n for n in range(30))
    with opened(content, folder) as file:
        whole = list(text_parts(file, len(content), quoted=False))
        assert list(text_parts(file, len(content), quoted=False, first=3, start=whole[3].start)) == whole[3:]
    assert len(whole) > 5
    assert all(content[part.stop - 1 : part.stop] == b"\n" for part in whole)


def test_where_quotes_are_never_closed_a_part_ends_with_a_line(folder: Path) -> None:
    content = b'a,"b\n' + b"c,d\n" * 30
    with opened(content, folder) as file:
        found = list(text_parts(file, len(content), quoted=True))
    assert b"".join(content[part.start : part.stop] for part in found) == content
    assert len(found) > 2
    endless = b'"' + b"x" * 200
    with opened(endless, folder) as file:
        assert [part.stop for part in text_parts(file, len(endless), quoted=True)][-1] == len(endless)


@pytest.mark.parametrize(
    ("content", "end"),
    [
        (b"a,b\n1,2\n", 4),
        (b"\xef\xbb\xbfa,b\r\n1,2\n", 8),
        (b'\n\r\n"a\nb",c\n1,2\n', 11),
        (b"a,b", 3),
        (b"", 0),
        (b"\n\n", 2),
    ],
)
def test_the_header_is_the_first_record_with_anything_in_it(folder: Path, content: bytes, end: int) -> None:
    with opened(content, folder) as file:
        assert header_end(file, len(content)) == end
