"""A token is read in one way or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.core.access.token import TokenFault, read_token, unpadded

HEADER = {"alg": "RS256", "kid": "k", "typ": "JWT"}
CLAIMS = {"iss": "https://issuer.example", "exp": 1}


def made(header: Any = HEADER, claims: Any = CLAIMS, signature: bytes = b"sig") -> bytes:
    parts = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in (header, claims))
    return b".".join(unpadded(part) for part in (*parts, signature))


def test_the_parts_of_a_token() -> None:
    token = made()
    found = read_token(token)
    assert (found.algorithm, found.kid, found.issuer, found.signature) == ("RS256", "k", CLAIMS["iss"], b"sig")
    assert found.claims == CLAIMS
    assert found.signed == token.rpartition(b".")[0]


@pytest.mark.parametrize("header", [{"alg": "RS256"}, HEADER | {"typ": "at+jwt"}, HEADER | {"jku": "https://evil"}])
def test_what_a_header_may_leave_out_or_say_besides(header: dict[str, Any]) -> None:
    assert read_token(made(header)).algorithm == "RS256"


FAULTS: dict[str, bytes] = {
    "nothing": b"",
    "one part": b"eyJhbGciOiJub25lIn0",
    "five parts": made() + b".a.b",
    "no signature": made(signature=b""),
    "too long": made(claims=CLAIMS | {"x": "y" * 8192}),
    "padding": made() + b"=",
    "a line end": made() + b"\n",
    "base64 of the other alphabet": made().replace(b".", b"+.", 1),
    "bits left over": made().rsplit(b".", 1)[0] + b".c2ln" + b"Zx",
    "header no JSON": made(b"{"),
    "header a list": made([HEADER]),
    "header with a member twice": made(b'{"alg":"RS256","alg":"none"}'),
    "header with a byte order mark": made(b'\xef\xbb\xbf{"alg":"RS256"}'),
    "header in UTF-16": made('{"alg":"RS256"}'.encode("utf-16")),
    "claims with a member twice": made(claims=b'{"iss":"a","iss":"b"}'),
    "claims with Infinity": made(claims=b'{"iss":"a","exp":Infinity}'),
    "claims with NaN": made(claims=b'{"iss":"a","exp":NaN}'),
    "claims with 1e999": made(claims=b'{"iss":"a","exp":1e999}'),
    "claims with a huge integer": made(claims=b'{"iss":"a","exp":' + b"9" * 20 + b"}"),
    "claims deeper than the stack": made(claims=b"[" * 2500),
    "claims with a number in another script": made(claims='{"iss":"a","exp":１９}'.encode()),
    "claims a text": made(claims="iss"),
    "no alg": made({"kid": "k"}),
    "alg a list": made(HEADER | {"alg": ["RS256"]}),
    "crit": made(HEADER | {"crit": ["exp"]}),
    "crit empty": made(HEADER | {"crit": []}),
    "b64": made(HEADER | {"b64": False}),
    "zip": made(HEADER | {"zip": "DEF"}),
    "enc": made(HEADER | {"enc": "A256GCM"}),
    "nested": made(HEADER | {"cty": "JWT"}),
    "another type": made(HEADER | {"typ": "dpop+jwt"}),
    "type a number": made(HEADER | {"typ": 1}),
    "kid a number": made(HEADER | {"kid": 1}),
    "kid empty": made(HEADER | {"kid": ""}),
    "kid too long": made(HEADER | {"kid": "k" * 257}),
    "no issuer": made(claims={"exp": 1}),
    "issuer a list": made(claims={"iss": ["a"]}),
}


@pytest.mark.parametrize("case", FAULTS)
def test_whatever_is_no_plain_signed_token_is_refused(case: str) -> None:
    with pytest.raises(TokenFault):
        read_token(FAULTS[case])


@given(st.binary(max_size=64) | st.binary(max_size=64).map(lambda data: made(claims=data)))
def test_any_bytes_are_read_or_refused(token: bytes) -> None:
    try:
        read_token(token)
    except TokenFault as fault:
        assert len(str(fault)) < 120
