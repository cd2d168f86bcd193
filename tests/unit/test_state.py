"""The database of the state folder: made once, upgraded with care, and never reset, whatever is found there."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy import inspect as inspected

from foretell.errors import StateAway, StateError, StateFull
from foretell.state import schema
from foretell.state.database import SqliteDatabase, open_database
from foretell.state.file_systems import network_file_system, type_under
from foretell.state.folder import prepare, read_secret, replace_secret, write_secret
from foretell.state.tables import METADATA
from foretell.state.translation import disk_fault
from tools import generate_schema

NOW = schema.HEAD
"""The last step, before a test adds one."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state"


def made(folder: Path) -> Path:
    """A whole database; its file."""
    open_database(folder, None).close()
    return folder / "foretell.db"


def changed(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


# -- how it is made ----------------------------------------------------------------------------------------------------


def test_the_script_is_what_the_migrations_make() -> None:
    assert schema.SCRIPT.read_text(encoding="utf-8") == generate_schema.script(), "run: make reference"


def test_the_tables_in_code_are_what_the_migrations_make(folder: Path) -> None:
    engine = create_engine(f"sqlite:///{made(folder)}")
    found = inspected(engine)
    for table in METADATA.sorted_tables:
        columns = {
            column["name"]: (str(column["type"]), column["nullable"]) for column in found.get_columns(table.name)
        }
        said = {c.name: (str(c.type.compile(engine.dialect)), c.nullable) for c in table.columns}
        assert columns == said
        assert {index["name"] for index in found.get_indexes(table.name)} == {index.name for index in table.indexes}
    assert set(found.get_table_names()) == {*METADATA.tables, "alembic_version"}
    engine.dispose()


def test_the_last_step_is_the_one_that_is_named() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(schema.STEPS))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]


def test_folder_and_files_are_this_users_alone(folder: Path) -> None:
    database = open_database(folder, None)
    with database.write() as connection:
        connection.execute(text("UPDATE meta SET revision = 1"))
    assert folder.stat().st_mode & 0o777 == 0o700 and folder.parent.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    database.close()
    (folder / "foretell.db").chmod(0o644)
    open_database(folder, None).close()
    assert (folder / "foretell.db").stat().st_mode & 0o777 == 0o600


def test_many_that_open_it_at_once_find_one_database(folder: Path) -> None:
    failures: list[Exception] = []

    def open_once() -> None:
        try:
            open_database(folder, None).close()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=open_once) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(path.name for path in folder.iterdir()) == ["foretell.db"]


def test_what_a_killed_start_left_does_not_stop_the_next(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / ".foretell.db.draft").write_bytes(b"half")
    assert made(folder).exists()


# -- what is found there -----------------------------------------------------------------------------------------------


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda path: path.write_bytes(b""), "is empty. It was left as it is"),
    "no database": (lambda path: path.write_bytes(b"#!/bin/sh\n" * 500), "is damaged"),
    "zeros": (lambda path: path.write_bytes(bytes(45_056)), "is damaged"),
    "torn": (torn, "is damaged"),
    "header": (lambda path: path.write_bytes(b"SQLite format 4\0" + path.read_bytes()[16:]), "is damaged"),
    "newer": (
        lambda path: changed(path, "UPDATE alembic_version SET version_num = '0999'"),
        "newer Foretell .*'0999'.*left as it is",
    ),
    "strange": (lambda path: changed(path, "UPDATE alembic_version SET version_num = '../x'"), "newer Foretell"),
    "no version": (lambda path: changed(path, "DELETE FROM alembic_version"), "does not say which version wrote it"),
    "two versions": (
        lambda path: changed(path, "INSERT INTO alembic_version VALUES ('9998')"),
        "does not say which version wrote it",
    ),
    "another program's": (
        lambda path: changed(path, "DROP TABLE alembic_version", "DROP TABLE audit"),
        "does not hold what this Foretell expects",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_not_ours_or_not_whole_is_refused_and_left_as_it_is(folder: Path, damage: str) -> None:
    path = made(folder)
    do, words = DAMAGE[damage]
    do(path)
    before = path.read_bytes()
    with pytest.raises(StateError, match=words) as refused:
        open_database(folder, None)
    assert refused.value.hint and path.read_bytes() == before


@pytest.mark.parametrize(
    "statement", ["DROP TABLE keys", "ALTER TABLE keys RENAME COLUMN digest TO hash", "DROP TABLE meta"]
)
def test_a_table_that_is_not_as_it_was_made_is_an_error_and_not_an_empty_answer(folder: Path, statement: str) -> None:
    changed(made(folder), statement)
    database = open_database(folder, None)
    with pytest.raises(StateError, match="does not hold what this Foretell expects"):
        database.read("SELECT digest FROM keys, meta")
    database.close()


def test_a_file_that_goes_away_is_an_error_and_not_a_new_beginning(folder: Path) -> None:
    database = open_database(folder, None)
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(StateError, match="cannot be used"), database.write():
        pass
    database.close()
    assert not list(folder.iterdir())


def test_an_older_schema_is_upgraded_by_one_of_many_and_a_copy_is_kept(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(folder)
    changed(path, "UPDATE meta SET revision = 7")
    later(tmp_path, monkeypatch, "op.execute('CREATE TABLE more (id INTEGER)')")
    threads = [threading.Thread(target=lambda: open_database(folder, None).close()) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database = open_database(folder, None)
    assert database.read("SELECT version_num FROM alembic_version") == [("9999",)]
    assert database.read("SELECT revision FROM meta, more WHERE 0 UNION SELECT revision FROM meta") == [(7,)]
    database.close()
    copy = folder / f"foretell.db.{NOW}"
    assert copy.stat().st_mode & 0o777 == 0o600
    with sqlite3.connect(copy) as kept:
        assert kept.execute("SELECT revision, version_num FROM meta, alembic_version").fetchall() == [(7, NOW)]
    kept.close()


def test_a_copy_that_is_put_back_serves_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(folder)
    with monkeypatch.context() as patched:
        later(tmp_path, patched, "op.execute('CREATE TABLE more (id INTEGER)')")
        open_database(folder, None).close()
    with pytest.raises(StateError, match="newer Foretell"):
        open_database(folder, None)
    (folder / f"foretell.db.{NOW}").rename(path)
    open_database(folder, None).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
    connection.close()


def test_an_upgrade_that_fails_leaves_everything_as_it_was(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(folder)
    later(tmp_path, monkeypatch, "op.execute('CREATE TABLE more (id INTEGER)'); op.execute('DROP TABLE never_made')")
    with pytest.raises(StateError, match="no such table"):
        open_database(folder, None)
    monkeypatch.undo()
    database = open_database(folder, None)
    assert database.read("SELECT name FROM sqlite_master WHERE name = 'more'") == []
    database.close()


def later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A Foretell that knows one step more."""
    steps = tmp_path / "steps"
    (steps / "versions").mkdir(parents=True)
    for path in (schema.STEPS / "env.py", *schema.STEPS.glob("versions/v*.py")):
        (steps / path.relative_to(schema.STEPS)).write_text(path.read_text())
    said = f"from alembic import op\nrevision = '9999'\ndown_revision = '{NOW}'\ndef upgrade():\n    {step}\n"
    (steps / "versions" / "v9999_more.py").write_text(said)
    monkeypatch.setattr(schema, "STEPS", steps)
    monkeypatch.setattr(schema, "HEAD", "9999")


# -- what happens while it runs ----------------------------------------------------------------------------------------


def test_a_database_that_another_process_holds_is_waited_for_and_then_said(folder: Path) -> None:
    path = made(folder)
    database = SqliteDatabase(folder, busy_s=0.05)
    database.open()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateAway, match=r"held .* for too long"), database.write():
        pass
    assert database.read("SELECT revision FROM meta") == [(0,)], "who reads does not wait"
    holder.execute("ROLLBACK")
    holder.close()
    with database.write() as connection:
        connection.execute(text("UPDATE meta SET revision = 1"))
    database.close()


def test_a_disk_that_is_full_is_said_and_nothing_is_half_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(folder)
    database = SqliteDatabase(folder)
    connect = SqliteDatabase._connect

    def small(self: SqliteDatabase, path: Path) -> sqlite3.Connection:
        connection = connect(self, path)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 1}")
        return connection

    monkeypatch.setattr(SqliteDatabase, "_connect", small)
    database.open()
    with pytest.raises(StateFull, match="disk is full"), database.write() as connection:
        connection.execute(text("UPDATE meta SET revision = 1"))
        connection.execute(text("CREATE TABLE big AS SELECT randomblob(100000) AS bytes"))
    assert database.read("SELECT revision FROM meta") == [(0,)]
    database.close()
    assert isinstance(disk_fault(OSError(28, "No space left on device"), folder), StateFull)


def test_a_reading_connection_cannot_write(folder: Path) -> None:
    database = open_database(folder, None)
    with pytest.raises(StateError, match="attempt to write"):
        database.read("DELETE FROM meta RETURNING id")
    database.close()


def test_an_error_that_is_not_the_databases_passes_as_it_is(folder: Path) -> None:
    database = open_database(folder, None)
    with pytest.raises(ZeroDivisionError), database.write() as connection:
        connection.execute(text("UPDATE meta SET revision = 9"))
        _ = 1 / 0
    assert database.read("SELECT revision FROM meta") == [(0,)]
    database.close()


# -- the folder --------------------------------------------------------------------------------------------------------

TABLE = r"""
22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:40 / /home rw shared:5 - nfs4 host:/home rw
31 30 8:2 / /home/me/local\040disk rw - xfs /dev/sdb rw
32 22 0:41 / /mnt/cloud rw - fuse.gcsfuse bucket rw
33 22 0:42 / /mnt/ram rw - tmpfs tmpfs rw
34 22 0:43 / /mnt/ram rw - cifs //host/share rw
broken line
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/var/lib/foretell", "ext4"),
        ("/home/me/.local/state", "nfs4"),
        ("/homeless", "ext4"),
        ("/home/me/local disk/x", "xfs"),
        ("/mnt/cloud", "fuse.gcsfuse"),
        ("/mnt/ram/x", "cifs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path: str, found: str) -> None:
    assert type_under(path, TABLE) == found


def test_a_folder_on_a_network_is_refused_with_what_to_do(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:40 / {tmp_path} rw - nfs4 host:/home rw\n")
    with pytest.raises(StateError, match=r"network file system \(nfs4\), where SQLite loses data") as refused:
        prepare(tmp_path / "state", mounts)
    assert "FORETELL_STATE__URL" in str(refused.value.hint) and not (tmp_path / "state").exists()
    assert network_file_system(tmp_path, tmp_path / "nothing") is None
    mounts.write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")
    prepare(tmp_path / "state", mounts)


def test_a_folder_that_everybody_may_write_to_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(StateError, match="Everybody may write"):
        prepare(tmp_path)
    tmp_path.chmod(0o755)
    prepare(tmp_path)
    assert tmp_path.stat().st_mode & 0o777 == 0o755, "a folder that was there is not ours to change"


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("x")
    with pytest.raises(StateError, match="is not a folder"):
        prepare(tmp_path / "state")
    with pytest.raises(StateError, match="cannot be written"):
        prepare(tmp_path / "state" / "below")


def test_a_secret_is_written_once_whole_and_for_this_user(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert read_secret(path) is None
    assert write_secret(path, "first") and not write_secret(path, "second")
    assert read_secret(path) == "first" and path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert read_secret(path) == "first" and path.stat().st_mode & 0o777 == 0o600
    replace_secret(path, "third")
    assert read_secret(path) == "third"
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
    path.write_text("\n")
    with pytest.raises(StateError, match="is empty"):
        read_secret(path)
    path.write_bytes(b"\xff\xff")
    with pytest.raises(StateError, match="cannot be read"):
        read_secret(path)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StateError, match="not a file of this user"):
        read_secret(path)
    with pytest.raises(StateError, match="cannot be written"):
        write_secret(tmp_path / "no" / "folder", "x")
