"""Tokens are checked once and known until they are over; keys are fetched seldom and kept long."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from foretell.core.access.claims import Rules
from foretell.core.access.credentials import Credential
from foretell.core.access.token import unpadded
from foretell.errors import Unauthenticated, Unavailable
from foretell.security.tokens.fetching import FetchFault
from foretell.security.tokens.identities import TokenIdentities
from foretell.security.tokens.outside import OutsideIssuer
from foretell.security.tokens.remote import RemoteKeys
from foretell.security.tokens.signatures import read_keys, secret_key
from tests.issuer import AUDIENCE, Issuer, make_key, signed

URL = "https://issuer.example"
ALL = frozenset({"RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"})


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """An issuer without a network, what asks it, and their clock."""

    def __init__(self, kind: str = "RS256", most: int = 100, *, discovery: bool = False) -> None:
        self.clock = Clock()
        self.issuer = Issuer(URL, kind)
        self.keys = RemoteKeys(
            URL,
            jwks_url=None if discovery else f"{URL}/jwks",
            discovery_url=f"{URL}/.well-known/openid-configuration",
            fetch=self.fetch,
            clock=self.clock,
        )
        outside = OutsideIssuer(Rules(URL, frozenset({AUDIENCE})), ALL, self.keys)
        self.identities = TokenIdentities([outside], self.clock, most)
        self.keys.gone = self.identities.forget
        self.arrives = asyncio.Event()
        self.arrives.set()

    async def fetch(self, url: str) -> bytes:
        path = url.removeprefix(URL)
        self.issuer.asked.append(path)
        await self.arrives.wait()
        status, body, _ = self.issuer.answer(path)
        if status != 200:
            raise FetchFault(f"it was answered {status}")
        return body

    def token(self, **claims: Any) -> Credential:
        now = int(self.clock())
        return token(self.issuer.token(**({"iat": now, "exp": now + 600} | claims)))

    async def accepts(self, credential: Credential) -> bool:
        try:
            await self.identities.identify(credential)
        except Unauthenticated as refused:
            assert refused.instance_code == "credential_invalid"
            return False
        return True

    def away(self) -> None:
        self.issuer.fault = (503, b"", {})


def token(text: str) -> Credential:
    return Credential("token", text.encode())


def run(scenario: Callable[[World], Any], *worlds: Any, **options: Any) -> None:
    async def within() -> None:
        world = World(*worlds, **options)
        await scenario(world)
        await world.keys.close()

    asyncio.run(within())


@pytest.mark.parametrize("kind", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_a_token_is_taken_whatever_its_issuer_signs_with(kind: str) -> None:
    async def scenario(world: World) -> None:
        credential = world.token()
        assert world.identities.known(credential) is None
        principal = await world.identities.identify(credential)
        assert principal.id == f"token:{URL}|robot"
        assert world.identities.known(credential) is principal
        assert await world.identities.identify(credential) is principal
        text = credential.secret.decode()
        head, claims, signature = text.split(".")
        other = "A" if signature[0] != "A" else "B"
        assert not await world.accepts(token(f"{head}.{claims}.{other}{signature[1:]}"))
        assert not await world.accepts(token(f"{head}.{claims}.AAAA"))

    run(scenario, kind)


def test_keys_are_found_by_discovery() -> None:
    async def scenario(world: World) -> None:
        assert await world.accepts(world.token())
        assert world.issuer.asked == ["/.well-known/openid-configuration", "/jwks"]

    run(scenario, discovery=True)


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://another.example", "jwks_uri": f"{URL}/jwks"},
        {"issuer": URL, "jwks_uri": "http://issuer.example/jwks"},
        {"issuer": URL, "jwks_uri": "file:///etc/passwd"},
        {"issuer": URL, "jwks_uri": "https://user@issuer.example/jwks"},
        {"issuer": URL, "jwks_uri": ["https://issuer.example/jwks"]},
        {"issuer": URL},
        [],
    ],
)
def test_a_configuration_that_is_anothers_or_leads_astray_is_not_followed(document: Any) -> None:
    async def scenario(world: World) -> None:
        world.issuer.fault = (200, json.dumps(document).encode(), {})
        with pytest.raises(Unavailable):
            await world.identities.identify(world.token())
        assert world.issuer.asked == ["/.well-known/openid-configuration"]

    run(scenario, discovery=True)


def test_ten_thousand_unknown_key_ids_make_two_fetches_at_most() -> None:
    async def scenario(world: World) -> None:
        world.keys.start()
        assert await world.accepts(world.token())
        _, claims, signature = world.token().secret.split(b".")
        for number in range(10_000):
            header = unpadded(json.dumps({"alg": "RS256", "kid": f"random-{number}"}).encode())
            assert not await world.accepts(Credential("token", b".".join((header, claims, signature))))
        assert world.issuer.fetches() <= 2
        assert await world.accepts(world.token(sub="another"))
        world.clock.now_s += 61
        assert not await world.accepts(token(world.issuer.token(header={"kid": "x"}, iat=int(world.clock()))))
        assert world.issuer.fetches() <= 3

    run(scenario)


def test_all_who_wait_share_one_fetch() -> None:
    async def scenario(world: World) -> None:
        world.arrives.clear()
        waiting = [asyncio.create_task(world.accepts(world.token(sub=f"s{number}"))) for number in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        world.arrives.set()
        assert all(found is True for found in (await asyncio.gather(*waiting, return_exceptions=True))[1:])
        assert world.issuer.fetches() == 1

    run(scenario)


def test_a_new_key_is_fetched_when_a_token_names_it_and_the_old_ones_tokens_end() -> None:
    async def scenario(world: World) -> None:
        old = world.token()
        assert await world.accepts(old)
        before = world.identities.generation
        world.issuer.rotate()
        assert await world.accepts(world.token(sub="new"))
        assert world.identities.generation > before
        assert world.identities.known(old) is None
        assert not await world.accepts(old)
        assert world.issuer.fetches() == 2

    run(scenario)


def test_tokens_of_a_key_that_stays_are_known_over_a_fetch() -> None:
    async def scenario(world: World) -> None:
        old = world.token()
        assert await world.accepts(old)
        world.issuer.published = [0, 1]
        world.issuer.current = 1
        before = world.identities.generation
        assert await world.accepts(world.token(sub="new"))
        assert world.identities.known(old) is not None
        assert world.identities.generation == before

    run(scenario)


def test_while_the_issuer_is_away_its_keys_serve_for_a_day() -> None:
    async def scenario(world: World) -> None:
        assert await world.accepts(world.token())
        world.away()
        for hours in range(1, 24):
            world.clock.now_s += 3600
            assert await world.accepts(world.token(sub=f"h{hours}")), hours
            await asyncio.sleep(0)
        world.clock.now_s += 3600
        with pytest.raises(Unavailable) as refused:
            await world.identities.identify(world.token(sub="late"))
        assert refused.value.instance_code == "issuer_unavailable"
        assert 1 <= refused.value.retry_after_s <= 60
        asked = world.issuer.fetches()
        with pytest.raises(Unavailable):
            await world.identities.identify(world.token(sub="later"))
        assert world.issuer.fetches() == asked
        world.issuer.fault = None
        world.clock.now_s += 61
        assert await world.accepts(world.token(sub="back"))

    run(scenario)


def test_a_token_is_not_known_longer_than_its_key_may_be_relied_on() -> None:
    async def scenario(world: World) -> None:
        assert await world.accepts(world.token())
        world.away()
        world.clock.now_s += 86_000
        now = int(world.clock())
        credential = world.token(exp=now + 3600)
        assert await world.accepts(credential)
        world.clock.now_s += 401
        assert world.identities.known(credential) is None

    run(scenario)


def test_old_keys_are_fetched_anew_beside_the_requests() -> None:
    async def scenario(world: World) -> None:
        assert await world.accepts(world.token())
        world.clock.now_s += 601
        world.arrives.clear()
        assert await world.accepts(world.token(sub="meanwhile"))
        world.arrives.set()
        assert await world.accepts(world.token(sub="afterwards"))
        await asyncio.sleep(0)
        assert world.issuer.fetches() == 2

    run(scenario)


@pytest.mark.parametrize("reply", [b"", b"{", b'{"keys":{}}', b'{"keys":[]}', b'{"keys":[7]}', b"[]", b'{"keys":' * 3])
def test_a_reply_that_is_no_keys_leaves_those_there_were(reply: bytes) -> None:
    async def scenario(world: World) -> None:
        assert await world.accepts(world.token())
        world.issuer.fault = (200, reply, {})
        world.clock.now_s += 601
        assert await world.accepts(world.token(sub="meanwhile"))
        await asyncio.sleep(0)
        assert world.issuer.fetches() == 2
        assert await world.accepts(world.token(sub="afterwards"))

    run(scenario)


def test_generation_grows_when_a_token_is_over() -> None:
    async def scenario(world: World) -> None:
        credential = world.token()
        assert await world.accepts(credential)
        before = world.identities.generation
        world.clock.now_s += 629
        assert world.identities.generation == before
        assert world.identities.known(credential) is not None
        world.clock.now_s += 1
        assert world.identities.known(credential) is None
        assert world.identities.generation > before
        assert len(world.identities) == 0
        assert not await world.accepts(credential)

    run(scenario)


def test_so_many_tokens_are_remembered_and_their_text_is_not() -> None:
    async def scenario(world: World) -> None:
        credentials = [world.token(sub=f"s{number}") for number in range(4)]
        for credential in credentials[:3]:
            assert await world.accepts(credential)
        assert world.identities.known(credentials[0])
        assert await world.accepts(credentials[3])
        assert len(world.identities) == 3
        assert world.identities.known(credentials[1]) is None
        assert world.identities.known(credentials[0])
        assert credentials[0].secret.decode() not in repr(vars(world.identities))

    run(scenario, most=3)


def test_other_credentials_are_nobodys_here() -> None:
    async def scenario(world: World) -> None:
        assert world.identities.known(Credential("key", world.token().secret)) is None
        assert not await world.accepts(Credential("key", world.token().secret))

    run(scenario)


def test_a_token_without_a_key_id_is_taken_where_only_one_key_fits() -> None:
    async def scenario(world: World) -> None:
        now = int(world.clock())
        bare = token(world.issuer.token(header={"kid": None}, iat=now, exp=now + 60))
        assert await world.accepts(bare)
        world.issuer.published = [0, 1]
        world.clock.now_s += 601
        assert await world.accepts(world.token())
        await asyncio.sleep(0)
        again = token(world.issuer.token(header={"kid": None}, sub="x", iat=now, exp=now + 9000))
        assert not await world.accepts(again)

    run(scenario)


def shared(secret: bytes = b"s" * 32) -> TokenIdentities:
    rules = Rules(URL, frozenset({AUDIENCE}))
    return TokenIdentities([OutsideIssuer(rules, frozenset({"HS256"}), secret_key(secret))])


def test_a_token_is_at_hand_once_the_key_that_it_names_is() -> None:
    async def scenario(world: World) -> None:
        good, other = world.token(), token(world.issuer.token(header={"kid": "x"}))
        assert not world.identities.at_hand(good)
        assert await world.accepts(good)
        asked = world.issuer.fetches()
        assert world.identities.at_hand(world.token(sub="another"))
        assert not world.identities.at_hand(other)
        assert not world.identities.at_hand(world.token(iss="https://another.example"))
        assert not world.identities.at_hand(token("no.token"))
        world.clock.now_s += 86_400
        assert not world.identities.at_hand(good)
        assert world.issuer.fetches() == asked

    run(scenario)


def hs_token(secret: bytes, **header: Any) -> Credential:
    from joserfc.jwk import OctKey

    key = OctKey.import_key({"kty": "oct", "k": unpadded(secret).decode()})
    return token(signed(Issuer(URL).claims(), key, {"alg": "HS256"} | header))


def test_an_issuer_may_share_a_secret() -> None:
    found = asyncio.run(shared().identify(hs_token(b"s" * 32)))
    assert found.kind == "token"
    for wrong in (hs_token(b"t" * 32), hs_token(b"s" * 32, alg="HS512")):
        with pytest.raises(Unauthenticated):
            asyncio.run(shared().identify(wrong))
    assert not secret_key(b"s" * 32).verifies("RS256", b"x", b"y")
    assert shared().at_hand(hs_token(b"t" * 32))
    assert not shared().at_hand(hs_token(b"s" * 32, alg="HS512"))


def listed(**more: Any) -> dict[str, Any]:
    return {**make_key("RS256").as_dict(private=False), "kid": "k", **more}


def left_out() -> Iterator[dict[str, Any]]:
    yield listed(use="enc")
    yield listed(key_ops=["encrypt"])
    yield listed(key_ops="verify")
    yield listed(alg="HS256")
    yield listed(alg=["RS256"])
    yield listed(n=7)
    yield listed(e="AQABAQAB")
    yield listed(n="AQAB")
    yield listed(n="!")
    yield {**make_key("RS256").as_dict(private=True), "kid": "k"}
    yield {"kty": "oct", "k": "c2VjcmV0", "kid": "k"}
    yield {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}
    yield {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}
    yield {"kty": "OKP", "crv": "X25519", "x": "AA"}
    yield {"kty": ["RSA"]}
    yield {}


@pytest.mark.parametrize("key", list(left_out()))
def test_keys_that_no_signature_may_be_checked_with_are_left_out(key: dict[str, Any]) -> None:
    good = listed(kid="good")
    found = read_keys(json.dumps({"keys": [key, good]}).encode())
    assert [each.kid for each in found] == ["good"]
    with pytest.raises(ValueError, match="no key"):
        read_keys(json.dumps({"keys": [key]}).encode())


def test_a_key_that_names_its_algorithm_is_for_that_one_alone() -> None:
    document = {"keys": [listed(alg="PS256"), {**make_key("EdDSA").as_dict(private=False), "alg": "Ed25519"}]}
    rsa, okp = read_keys(json.dumps(document).encode())
    assert (rsa.fits, okp.fits) == (frozenset({"PS256"}), frozenset({"EdDSA"}))
    with pytest.raises(ValueError, match="100"):
        read_keys(json.dumps({"keys": [listed()] * 101}).encode())
