"""What a key store promises, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from foretell.core.access.credentials import Credential
from foretell.core.access.grant import Grant
from foretell.core.access.rates import Rate
from foretell.errors import KeyFault, StateError, Unauthenticated
from foretell.security.audit import Author
from foretell.security.keys.following import Following
from foretell.security.keys.opening import ensure_admin, open_keys
from foretell.security.keys.record import KeyRecord
from foretell.security.keys.store import KeyStore
from tests.postgres_server import PostgresServer, postgres_server
from tests.serving import until

ME = Author("cli:me", "req-1", "10.0.0.9")
GRANT = Grant(
    "partner-x", "tenant-x", frozenset({"predict"}), frozenset({"iris"}), (Rate(100, 60), Rate(5000, 3600, "rows")), 900
)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else request.getfixturevalue("postgres").database()


@pytest.fixture
def store(url: str | None, tmp_path: Path) -> Iterator[KeyStore]:
    with open_keys(tmp_path / "state", url) as opened:
        yield opened


def presented(key: str) -> Credential:
    return Credential("key", key.encode())


def test_a_key_is_found_as_it_was_made(store: KeyStore) -> None:
    made, key = store.create(GRANT, ME)
    (found,) = store.get("partner-x")
    assert found == made
    assert (found.id, found.principal.id) == (key.split("_")[1], "key:partner-x")
    assert (found.tenant, found.scopes, found.models) == ("tenant-x", GRANT.scopes, GRANT.models)
    assert [str(rate) for rate in found.rates] == ["100/m", "5000 rows/h"]
    assert found.expires_s is not None and found.expires_s - found.created_s == pytest.approx(900)
    assert store.get(made.id) == [made] and store.all() == [made]


def test_the_database_holds_no_key(store: KeyStore) -> None:
    _, key = store.create(GRANT, ME)
    everything = str([store.database.read(f"SELECT * FROM {table}") for table in ("meta", "keys", "audit")])
    assert key not in everything and key.split("_")[2] not in everything
    assert "partner-x" in everything


def test_a_name_is_taken_until_its_key_is_revoked(store: KeyStore) -> None:
    store.create(GRANT, ME)
    with pytest.raises(KeyFault, match=r"already.*active") as refused:
        store.create(GRANT, ME)
    assert refused.value.conflict
    assert len(store.revoke("partner-x", ME)) == 1
    assert store.create(GRANT, ME)[0].name == "partner-x"
    assert [key.state(0.0) for key in store.get("partner-x")] == ["active", "revoked"]


def test_an_unknown_key_is_refused_with_what_was_meant(store: KeyStore) -> None:
    store.create(GRANT, ME)
    with pytest.raises(KeyFault, match="Did you mean 'partner-x'"):
        store.get("partnerx")
    with pytest.raises(KeyFault, match="There is no key 'qqqqqqqq'"):
        store.revoke("qqqqqqqq", ME)


def test_an_id_goes_before_a_name_that_looks_like_it(store: KeyStore) -> None:
    made, _ = store.create(GRANT, ME)
    store.create(Grant(made.id, "t", frozenset({"predict"})), ME)
    assert [key.name for key in store.revoke(made.id, ME)] == ["partner-x"]
    assert [key.state(0.0) for key in store.all() if key.name == made.id] == ["active"]


def test_rotating_keeps_the_old_key_for_the_grace_and_the_grant_for_good(store: KeyStore) -> None:
    clock = Clock()
    store._clock = clock
    old, _ = store.create(GRANT, ME)
    clock.now_s += 100
    new, _ = store.rotate("partner-x", ME, grace_s=60)
    assert (new.name, new.tenant, new.scopes, new.models, new.rates) == (
        old.name, old.tenant, old.scopes, old.models, old.rates,
    )  # fmt: skip
    assert new.expires_s == clock.now_s + 900
    replaced = store.get(old.id)[0]
    assert (replaced.replaced_by, replaced.expires_s) == (new.id, clock.now_s + 60)
    assert (replaced.state(clock.now_s), replaced.state(clock.now_s + 60)) == ("replaced", "expired")
    with pytest.raises(KeyFault, match="cannot be rotated"):
        store.rotate(old.id, ME, grace_s=60)
    assert len(store.revoke("partner-x", ME)) == 2, "a name stands for both keys"


class Overtaken(KeyStore):
    """Another process rotates the key between a look for it and the change."""

    def get(self, key: str) -> list[KeyRecord]:
        found = super().get(key)
        KeyStore(self.database, self.pepper).rotate(found[0].id, ME, grace_s=60)
        return found


def test_a_revocation_by_name_leaves_nothing_alive_that_a_rotation_makes_meanwhile(store: KeyStore) -> None:
    store.create(GRANT, ME)
    revoked = Overtaken(store.database, store.pepper).revoke("partner-x", ME)
    assert len(revoked) == 2
    assert [key.state(0.0) for key in store.get("partner-x")] == ["revoked", "revoked"]
    revision = store.standing().revision
    with pytest.raises(KeyFault, match="was revoked before") as refused:
        store.revoke("partner-x", ME)
    assert refused.value.conflict
    assert store.standing().revision == revision


def test_a_grace_never_makes_a_key_live_longer(store: KeyStore) -> None:
    old, _ = store.create(GRANT, ME)
    store.rotate(old.id, ME, grace_s=10_000, lifetime_s=5)
    assert store.get(old.id)[0].expires_s == old.expires_s


def test_every_change_is_in_the_trail_with_its_author_and_without_secrets(store: KeyStore) -> None:
    _, key = store.create(GRANT, ME)
    store.rotate("partner-x", ME, grace_s=0)
    store.revoke("partner-x", ME)
    store.close_for_good(ME)
    entries = store.trail.page()
    assert [entry.action for entry in entries] == ["key.revoke", "key.revoke", "key.rotate", "key.create"]
    assert {entry.author for entry in entries} == {ME} and {entry.target for entry in entries} == {"key:partner-x"}
    assert entries[-1].before is None and entries[-1].after is not None and entries[-1].after["scopes"] == ["predict"]
    assert entries[0].before is not None and entries[0].after is not None
    assert (entries[0].before["revoked"], entries[0].after["state"]) == (None, "revoked")
    assert key.split("_")[2] not in str(entries) and "digest" not in str(entries)
    assert store.trail.page(limit=1) == entries[:1]
    assert store.trail.page(before_id=entries[0].id, limit=2) == entries[1:3]
    assert store.trail.page(since_s=entries[0].at_s + 1) == []


def test_the_trail_cannot_be_rewritten(store: KeyStore, url: str | None) -> None:
    from sqlalchemy import text

    replace = "REPLACE INTO audit (id, at_s, actor, action, target) VALUES (1, 0, 'nobody', 'none', 'none')"
    store.create(GRANT, ME)
    own = replace if url is None else "TRUNCATE audit"
    for statement in ("UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", own):
        with pytest.raises(Exception, match="append-only"), store.database.write() as connection:
            connection.execute(text(statement))
    assert [entry.author for entry in store.trail.page()] == [ME]


def test_the_first_key_closes_for_good_and_the_admins_does_not(store: KeyStore, tmp_path: Path) -> None:
    path = ensure_admin(store, tmp_path / "state")
    assert path is not None and path.stat().st_mode & 0o777 == 0o600
    assert not store.standing().closed
    store.create(GRANT, ME)
    store.revoke("partner-x", ME)
    assert store.standing().closed


def test_authentication_that_was_set_once_stays(store: KeyStore) -> None:
    store.close_for_good(ME)
    revision = store.standing().revision
    store.close_for_good(ME)
    assert store.standing().closed and store.standing().revision == revision
    assert [entry.action for entry in store.trail.page()] == ["auth.close"]


def test_many_workers_that_start_at_once_make_one_admin(url: str | None, tmp_path: Path) -> None:
    folder, failures = tmp_path / "state", []

    def start() -> None:
        try:
            with open_keys(folder, url) as opened:
                ensure_admin(opened, folder)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with open_keys(folder, url) as opened:
        following = Following(opened)
        following.look()
        key = (folder / "admin.key").read_text().strip()
        principal = following.keyring.known(presented(key))
        assert principal is not None and principal.id == "key:admin" and len(opened.all()) == 1
        assert ensure_admin(opened, folder) == folder / "admin.key"
        (folder / "admin.key").unlink()
        assert ensure_admin(opened, folder) is None, "an admin's key that was put away does not come back"


def test_a_change_elsewhere_arrives_without_a_question(url: str | None, store: KeyStore, tmp_path: Path) -> None:
    following = Following(store, poll_s=0.01)
    following.start()
    try:
        with open_keys(tmp_path / "state", url) as elsewhere:
            _, key = elsewhere.create(GRANT, ME)
            until(lambda: following.keyring.known(presented(key)) is not None)
            assert following.closed
            generation = following.keyring.generation
            elsewhere.revoke("partner-x", ME)
            until(lambda: following.keyring.known(presented(key)) is None)
            assert following.keyring.generation > generation
    finally:
        following.stop()


def test_a_key_is_known_the_moment_after_it_was_made_elsewhere(
    url: str | None, store: KeyStore, tmp_path: Path
) -> None:
    following = Following(store, poll_s=3600)
    following.start()
    with open_keys(tmp_path / "state", url) as elsewhere:
        made = [elsewhere.create(Grant(f"k{n}", "t", frozenset({"predict"})), ME)[1] for n in range(3)]

    async def ask() -> list[str]:
        found = await asyncio.gather(*(following.keyring.identify(presented(key)) for key in made))
        return [principal.id for principal in found]

    try:
        assert asyncio.run(ask()) == ["key:k0", "key:k1", "key:k2"]
        with pytest.raises(Unauthenticated):
            asyncio.run(following.keyring.identify(presented(made[0][:-1] + "?")))
    finally:
        following.stop()


def test_when_a_key_was_last_used_is_written_down_at_the_stop(store: KeyStore) -> None:
    _, key = store.create(GRANT, ME)
    following = Following(store, poll_s=3600)
    following.start()
    assert following.keyring.known(presented(key)) is not None
    revision = store.standing().revision
    following.stop()
    (found,) = store.get("partner-x")
    assert found.used_s is not None and found.used_s > 1.7e9
    assert store.standing().revision == revision, "that a key is used is no change of keys"
    store.note_used({found.id: 5.0})
    assert store.get("partner-x")[0].used_s == found.used_s, "the latest use counts"


def test_another_pepper_is_refused_with_words(url: str | None, store: KeyStore, tmp_path: Path) -> None:
    store.create(GRANT, ME)
    with (
        pytest.raises(StateError, match="another pepper than that of the settings"),
        open_keys(tmp_path / "state", url, "p" * 32),
    ):
        pass
    (tmp_path / "state" / "pepper").rename(tmp_path / "pepper")
    with pytest.raises(StateError, match="is not in"), open_keys(tmp_path / "state", url):
        pass
    assert not (tmp_path / "state" / "pepper").exists(), "no second pepper is made up"
    with open_keys(tmp_path / "state", url, (tmp_path / "pepper").read_text().strip()) as again:
        assert again.all()
