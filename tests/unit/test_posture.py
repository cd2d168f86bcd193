"""The posture as a table: which settings and facts weaken what, and what a server refuses to start with."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from foretell.core.weaknesses import ACCEPTABLE, REFUSING
from foretell.errors import RiskNotAccepted
from foretell.security.posture import Facts, is_loopback, posture, refuse
from foretell.security.report import document, summary
from foretell.security.tls.files import Leaf
from foretell.settings import Auth, Cors, Docs, Limits, Log, Proxy, Rates, Settings, Tls, Trust, Wire

HOME = Facts("127.0.0.1", 8000)
WORLD = Facts("0.0.0.0", 8000)
LEAF = Leaf(("localhost",), datetime(2027, 1, 2, tzinfo=UTC), "AB:CD", False)
TLS = Tls(cert=Path("c.pem"))
SAFE: dict[str, Any] = {"tls": TLS}

TABLE: list[tuple[str, dict[str, Any], Facts, list[str]]] = [
    ("this machine only", {}, HOME, []),
    ("another server's socket", {}, Facts(None), []),
    ("a network, and all is well", SAFE, WORLD, []),
    ("no TLS", {}, WORLD, ["SW03"]),
    ("no auth", {**SAFE, "auth": Auth(mode="off")}, WORLD, ["SW01"]),
    ("no auth, here", {"auth": Auth(mode="off")}, HOME, []),
    ("auth for all", {**SAFE, "auth": Auth(mode="on")}, WORLD, []),
    ("no TLS, here", {}, replace(HOME, root=True, models_writable=True), []),
    ("a proxy that speaks it", {"proxy": Proxy(trusted=("10.0.0.1",))}, WORLD, []),
    ("a proxy on a Unix socket is none", {"proxy": Proxy(trusted=("unix",))}, WORLD, ["SW03"]),
    ("everybody as a proxy", {**SAFE, "proxy": Proxy(trusted=("0.0.0.0/0",))}, WORLD, ["SW24"]),
    ("every page", {"cors": Cors(origins=("*",))}, HOME, ["SW21"]),
    ("some pages", {"cors": Cors(origins=("https://shop.example.com",))}, HOME, []),
    ("slow bodies", {"wire": Wire(min_body_rate=0, max_connections_per_address=0)}, HOME, ["SW22"] * 2),
    ("long heads", {"wire": Wire(max_head_bytes=128 * 1024 + 1, head_s=61)}, HOME, ["SW22"] * 2),
    ("compressed bodies", {"wire": Wire(compressed=True)}, HOME, ["SW26"]),
    ("no rates", {**SAFE, "rates": Rates(anonymous=(), failures=())}, WORLD, ["SW23"] * 2),
    ("no rates, here", {"rates": Rates(anonymous=(), failures=())}, HOME, []),
    ("root", SAFE, replace(WORLD, root=True), ["SW08"]),
    ("documentation", {**SAFE, "auth": Auth(public_docs=True)}, WORLD, ["SW20"]),
    ("no documentation", {**SAFE, "auth": Auth(public_docs=True), "docs": Docs(enabled=False)}, WORLD, []),
    ("documentation, here", {"auth": Auth(public_docs=True)}, HOME, []),
    ("reload", {**SAFE, "reload": True}, WORLD, ["SW31"]),
    ("models that can be changed", SAFE, replace(WORLD, models_writable=True), ["SW34"]),
    ("self-signed", {**SAFE, "tls": Tls(self_signed=True)}, WORLD, ["SW36"]),
    ("self-signed, here", {"tls": Tls(self_signed=True)}, HOME, []),
    ("large bodies", {"limits": Limits(max_body_bytes=65 * 1024**2)}, HOME, ["SW22"]),
    ("bodies at the ceiling", {"limits": Limits(max_body_bytes=64 * 1024**2)}, HOME, []),
    ("several limits", {"keep_alive_s": 121, "drain_s": 301, "limits": Limits(timeout_s=601)}, HOME, ["SW22"] * 3),
    ("deep JSON", {"limits": Limits(max_json_depth=129)}, HOME, ["SW22"]),
    ("values in the log", {"log": Log(values=True)}, HOME, ["SW25"]),
    ("code", {"trust": Trust(pickle=("iris",))}, HOME, ["SW28"]),
    ("a key for everybody", {"tls": TLS}, replace(HOME, key_readable=True), ["SW33"]),
    ("an old library", {}, replace(HOME, outdated=("starlette 1.5.0 < 1.5.1",)), ["SW35"]),
    ("secrets for everybody", {}, replace(HOME, secrets_readable=("cache.secret", "state.url")), ["SW33"]),
    ("core dumps", {"core_dumps": True}, HOME, ["SW37"]),
]


@pytest.mark.parametrize(("settings", "facts", "codes"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_table(settings: dict[str, Any], facts: Facts, codes: list[str]) -> None:
    found = posture(Settings(**settings), facts)
    assert [weakness.code for weakness in found] == codes
    assert [weakness.refuses for weakness in found] == [code in REFUSING for code in codes]
    for weakness in found:
        assert str(weakness) == (
            f"SECURITY-WEAKENED {weakness.code} {weakness.where}: {weakness.sentence} Fix: {weakness.fix}"
        )
        assert weakness.sentence.endswith(".") and weakness.fix.endswith(".")


def test_the_line_of_a_weakness_stays_as_it_is() -> None:
    (line,) = posture(Settings(), WORLD)
    assert str(line) == (
        "SECURITY-WEAKENED SW03 tls=off bind=0.0.0.0: Keys and predictions travel in clear text. "
        "Fix: tls.cert and tls.key, or proxy.trusted, or host 127.0.0.1."
    )


def test_every_code_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "tls.md").read_text(encoding="utf-8")
    codes = {code for row in TABLE for code in row[3]}
    assert codes
    assert not [code for code in sorted(codes) if f"| `{code}` |" not in page]


@pytest.mark.parametrize(
    ("address", "here"),
    [
        *((here, True) for here in ("127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1", "::1%lo")),
        *((there, False) for there in ("0.0.0.0", "::", "10.0.0.1", "::ffff:10.0.0.1", "x")),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(address: str, here: bool) -> None:
    assert is_loopback(address) is here


def test_what_refuses_is_told_with_every_way_out_in_few_lines() -> None:
    settings = Settings()
    with pytest.raises(RiskNotAccepted) as caught:
        refuse(posture(settings, WORLD), settings, WORLD)
    assert caught.value.detail == (
        "0.0.0.0:8000 is open to the network. Keys and predictions travel in clear text. (SW03)"
    )
    hint = str(caught.value.hint)
    assert len(hint.splitlines()) <= 5
    for way in (
        "--tls-cert FILE --tls-key FILE",
        "--tls-self-signed",
        "FORETELL_PROXY__TRUSTED",
        "--host 127.0.0.1",
        "--accept-risk SW03",
    ):
        assert way in hint
    assert caught.value.exit_code == 78


def test_everything_that_refuses_is_told_at_once() -> None:
    settings = Settings(auth=Auth(mode="off"))
    with pytest.raises(RiskNotAccepted) as caught:
        refuse(posture(settings, WORLD), settings, WORLD)
    assert "(SW01)" in caught.value.detail and "(SW03)" in caught.value.detail
    assert "FORETELL_AUTH__MODE=auto" in str(caught.value.hint)
    assert "--accept-risk SW01 --accept-risk SW03" in str(caught.value.hint)
    accepted = settings.model_copy(update={"accept_risk": ("SW01",)})
    with pytest.raises(RiskNotAccepted) as caught:
        refuse(posture(accepted, WORLD), accepted, WORLD)
    assert "SW01" not in caught.value.detail


def test_what_is_accepted_by_name_does_not_refuse_and_is_still_told() -> None:
    settings = Settings(accept_risk=("SW03",))
    found = posture(settings, WORLD)
    refuse(found, settings, WORLD)
    assert [weakness.code for weakness in found] == ["SW03"]
    assert summary(settings, WORLD, found)["weakened"] == "SW03 (accepted)"


def test_a_server_that_is_as_it_should_be_says_so_in_one_line() -> None:
    facts = replace(WORLD, leaf=LEAF)
    settings = Settings(**{**SAFE, "tls": Tls(cert=Path("c"), client_ca=Path("d"), client_certificate="optional")})
    said = summary(settings, facts, posture(settings, facts))
    assert said["bind"] == "0.0.0.0:8000"
    assert said["tls"] == "1.2 and 1.3, certificate until 2027-01-02"
    assert said["client_certificates"] == "optional"
    assert (said["proxies"], said["auth"], said["trust"]) == ("none", "auto", "data only")
    assert said["limits"] == "body 8 MiB, batch 1000 rows, request 30 s, streams 64"
    assert said["weakened"] == "nothing"


def test_the_document_holds_the_certificate_and_each_weakness_in_full() -> None:
    facts = replace(HOME, address="::1", leaf=LEAF)
    settings = Settings(tls=Tls(self_signed=True), trust=Trust(pickle=("iris",)))
    told = document(settings, facts, posture(settings, facts))
    assert told["bind"] == "[::1]:8000"
    assert told["tls"] == "1.2 and 1.3, self-signed until 2027-01-02"
    assert told["trust"] == "data; code of iris"
    assert told["certificate"] == {
        "names": ["localhost"], "expires": "2027-01-02T00:00:00Z", "sha256": "AB:CD", "self_signed": False,
    }  # fmt: skip
    (weakness,) = told["weakened"]
    assert (weakness["code"], weakness["accepted"]) == ("SW28", False)
    assert weakness["detail"] and weakness["fix"] and weakness["where"] == "trust.pickle=iris"


def test_without_a_socket_of_ours_no_address_is_claimed() -> None:
    told = document(Settings(), Facts(None), [])
    assert (told["bind"], told["tls"], told["certificate"]) == ("by another server",) * 2 + (None,)


def test_only_codes_that_refuse_can_be_accepted() -> None:
    assert set(ACCEPTABLE) == REFUSING
