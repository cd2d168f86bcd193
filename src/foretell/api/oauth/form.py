"""A token request as RFC 6749 has it: a form, and the client in it or in the Authorization header. Pure."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_plus

MAX_FIELDS = 32
FORM = "application/x-www-form-urlencoded"


class FormFault(Exception):
    """Why the request cannot be taken: the name that RFC 6749 has for it, and words."""

    def __init__(self, error: str, why: str) -> None:
        super().__init__(why)
        self.error = error
        self.why = why


class TokenRequest(NamedTuple):
    """Who asks, with what, and for which scopes."""

    client_id: str
    secret: bytes
    scope: str | None


def read_request(content_type: str | None, authorization: str | None, body: bytes) -> TokenRequest:
    """The request. Raises FormFault."""
    if (content_type or "").partition(";")[0].strip().lower() != FORM:
        raise FormFault("invalid_request", f"the body must be a form: Content-Type: {FORM}")
    fields = _fields(body)
    if "grant_type" not in fields:
        raise FormFault("invalid_request", "grant_type is missing")
    if fields["grant_type"] != "client_credentials":
        raise FormFault("unsupported_grant_type", "there is client_credentials alone")
    client_id, secret = _client(fields, authorization)
    return TokenRequest(client_id, secret.encode(), fields.get("scope"))


def _fields(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise FormFault("invalid_request", "the body is no form that can be read") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise FormFault("invalid_request", "a field stands there twice")
    # RFC 6749, 3.2: one without a value is treated as if it were left out
    return {name: value for name, value in fields.items() if value}


def _client(fields: dict[str, str], authorization: str | None) -> tuple[str, str]:
    if authorization is None:
        if "client_id" in fields and "client_secret" in fields:
            return fields["client_id"], fields["client_secret"]
        raise FormFault("invalid_client", "client_id and client_secret are missing: the id and the text of an API key")
    if "client_secret" in fields:
        raise FormFault("invalid_request", "the client is named twice: in the form and in Authorization")
    client_id, secret = _basic(authorization)
    if fields.get("client_id", client_id) != client_id:
        raise FormFault("invalid_request", "the form and Authorization name two clients")
    return client_id, secret


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        raise FormFault("invalid_client", "Authorization must be Basic, with the id and the text of an API key")
    try:
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
        if colon:
            return unquote_plus(name, errors="strict"), unquote_plus(secret, errors="strict")
    except (binascii.Error, UnicodeDecodeError):
        pass
    raise FormFault("invalid_client", "what stands in Authorization cannot be read")
