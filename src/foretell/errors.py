"""Everything that can go wrong, in one tree.

    ForetellError
    ├── OperatorError            whoever runs the server or the command must mend something
    │   ├── SettingsError        a setting is unknown or has a value that cannot be
    │   ├── PathMissing          what was named is not there
    │   ├── CertificateUnusable  a certificate, key or issuer's file cannot serve
    │   ├── RiskNotAccepted      a weakened default that nobody has accepted by name
    │   ├── PortInUse            another process listens on the address
    │   ├── KeyFault             a key cannot be made, found or changed as asked
    │   ├── StateError           what the server remembers cannot be read or written
    │   │   ├── StateAway        not now: somebody else holds it, or it cannot be reached
    │   │   └── StateFull        there is no room left for it
    │   └── StartFailed          the application, or a worker process of it, did not start
    ├── ArtifactError            a version folder or file cannot be served
    │   ├── ManifestError        manifest.toml cannot be read or contradicts itself
    │   ├── IntegrityError       a file is missing, changed, half-copied or outside its folder
    │   ├── UnrecognisedArtifact no runtime knows the file
    │   ├── UntrustedArtifact    the file is code, or holds types that are not on the reviewed list
    │   ├── MissingLibrary       the runtime's library is not installed
    │   ├── SignatureMissing     neither manifest nor artifact says what the model takes
    │   ├── LoadFailed           the library could not load the file
    │   └── GoldenMismatch       the loaded model does not give the answers recorded at packaging
    ├── PackagingError           a version folder cannot be written
    │   ├── VersionExists        versions are immutable
    │   ├── NotStorable          the estimator does not fit the format
    │   └── ConversionDiffers    the written model answers differently from the object given
    └── RequestError             a request cannot be answered as asked
        ├── MalformedRequest     it cannot be read as this request
        ├── InvalidInput         it can be read, but a value is wrong
        ├── Unauthenticated      no valid credential
        ├── Forbidden            a valid credential that does not reach this far
        ├── RateLimited          what may be used up is used up
        ├── NotFound             no such path
        │   ├── UnknownModel
        │   └── UnknownVersion
        ├── Conflict             it contradicts what there is
        ├── MethodNotAllowed     the path is known, the method is not
        ├── NotAcceptable        no answer format the caller takes
        ├── UnsupportedMediaType the body's format is not read here
        ├── BodyTooLarge         over limits.max_body_bytes
        ├── RequestTooSlow       it does not come in the time allowed for it
        ├── Misdirected          for a host that this server does not answer for
        ├── ModelFailed          the model itself failed on valid input
        ├── Unavailable          not now: try again
        │   ├── NotReady         no version is ready
        │   ├── QueueFull        more is waiting than the limit allows
        │   └── Draining         the server is stopping
        ├── StorageFull          the disk is full and the request would have to write
        └── DeadlineExceeded     the time allowed has passed

No HTTP status stands here: ``foretell.api.problems`` maps classes to statuses, and a test holds that none is missed.
Every class carries a stable ``code`` and a ``title``; an instance adds a ``detail`` for people, naming what happened,
why, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foretell.operator_errors import (
    ArtifactError,
    CertificateUnusable,
    ConversionDiffers,
    ForetellError,
    GoldenMismatch,
    IntegrityError,
    KeyFault,
    LoadFailed,
    ManifestError,
    MissingLibrary,
    NotStorable,
    OperatorError,
    PackagingError,
    PathMissing,
    PortInUse,
    RiskNotAccepted,
    SettingsError,
    SignatureMissing,
    StartFailed,
    StateAway,
    StateError,
    StateFull,
    UnrecognisedArtifact,
    UntrustedArtifact,
    VersionExists,
)

__all__ = [
    "ArtifactError",
    "BodyTooLarge",
    "CertificateUnusable",
    "Conflict",
    "ConversionDiffers",
    "DeadlineExceeded",
    "Draining",
    "Fault",
    "Forbidden",
    "ForetellError",
    "GoldenMismatch",
    "IntegrityError",
    "InvalidInput",
    "KeyFault",
    "LoadFailed",
    "MalformedRequest",
    "ManifestError",
    "MethodNotAllowed",
    "Misdirected",
    "MissingLibrary",
    "ModelFailed",
    "NotAcceptable",
    "NotFound",
    "NotReady",
    "NotStorable",
    "OperatorError",
    "PackagingError",
    "PathMissing",
    "PortInUse",
    "QueueFull",
    "RateLimited",
    "RequestError",
    "RequestTooSlow",
    "RiskNotAccepted",
    "SettingsError",
    "SignatureMissing",
    "StartFailed",
    "StateAway",
    "StateError",
    "StateFull",
    "StorageFull",
    "Unauthenticated",
    "Unavailable",
    "UnknownModel",
    "UnknownVersion",
    "UnrecognisedArtifact",
    "UnsupportedMediaType",
    "UntrustedArtifact",
    "VersionExists",
]


# -- requests ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: where, what, and what would be right.

    ``pointer`` is a JSON pointer into the body (RFC 6901) or, for CSV, ``/rows/{row}/{column}``; ``row`` counts from 0
    and stands only in a batch. ``readable`` is False for what cannot be read as this request at all (contract §4: those
    make the answer 400 instead of 422). ``value`` is the offending value as text, already clipped. ``parameter`` names
    a query parameter or header, where the fault is not in the body.
    """

    code: str
    message: str
    pointer: str = ""
    row: int | None = None
    expected: Any = None
    got: Any = None
    value: str | None = None
    suggestion: str | None = None
    readable: bool = True
    parameter: str | None = None


class RequestError(ForetellError):
    """A request cannot be answered as asked.

    ``code`` and ``title`` may be narrowed per instance (``wrong_feature_count`` instead of ``malformed_request``);
    ``faults`` are those kept for the answer, ``faults_total`` counts all that were found.
    """

    code = "request_error"
    title = "Request cannot be answered"

    def __init__(
        self,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        faults_total: int | None = None,
        code: str | None = None,
        title: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(detail, hint=hint)
        self.faults = tuple(faults)
        self.faults_total = len(self.faults) if faults_total is None else faults_total
        self.instance_code = code or type(self).code
        self.instance_title = title or type(self).title


class MalformedRequest(RequestError):
    code = "malformed_request"
    title = "Request cannot be read"


class InvalidInput(RequestError):
    code = "invalid_input"
    title = "Input is not valid"


class Unauthenticated(RequestError):
    """Nobody we know. The words never tell an unknown credential from an expired or a revoked one."""

    code = "unauthenticated"
    title = "No valid credential"


class Forbidden(RequestError):
    code = "forbidden"
    title = "Not allowed"


class RateLimited(RequestError):
    """Used up. ``limit`` and ``remaining`` are requests or rows; in ``reset_s`` whole seconds there is enough again.

    ``never``: waiting does not help, for the request alone is more than the limit.
    """

    code = "rate_limited"
    title = "Too many requests"
    retryable = True

    def __init__(
        self,
        detail: str,
        *,
        limit: int = 0,
        remaining: int = 0,
        reset_s: int = 1,
        never: bool = False,
        code: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(detail, code=code, hint=hint)
        self.limit = limit
        self.remaining = remaining
        self.reset_s = reset_s
        self.never = never


class NotFound(RequestError):
    code = "not_found"
    title = "Not found"


class UnknownModel(NotFound):
    code = "unknown_model"
    title = "Unknown model"


class UnknownVersion(NotFound):
    code = "unknown_version"
    title = "Unknown version"


class Conflict(RequestError):
    code = "conflict"
    title = "Contradicts what there is"


class MethodNotAllowed(RequestError):
    code = "method_not_allowed"
    title = "Method not allowed"


class NotAcceptable(RequestError):
    code = "not_acceptable"
    title = "No acceptable format"


class UnsupportedMediaType(RequestError):
    code = "unsupported_media_type"
    title = "Unsupported media type"


class BodyTooLarge(RequestError):
    code = "body_too_large"
    title = "Body too large"


class RequestTooSlow(RequestError):
    code = "request_too_slow"
    title = "Request too slow"


class Misdirected(RequestError):
    code = "misdirected_request"
    title = "Not a name of this server"


class ModelFailed(RequestError):
    """The model failed on valid input. ``detail`` never holds the cause; the log line of the request does."""

    code = "model_failed"
    title = "The model failed"


class Unavailable(RequestError):
    """Not now. ``retry_after_s`` is whole seconds, for ``Retry-After``."""

    code = "unavailable"
    title = "Not available now"
    retryable = True

    def __init__(
        self, detail: str, *, retry_after_s: int = 1, code: str | None = None, hint: str | None = None
    ) -> None:
        super().__init__(detail, code=code, hint=hint)
        self.retry_after_s = retry_after_s


class NotReady(Unavailable):
    code = "not_ready"
    title = "No version is ready"


class QueueFull(Unavailable):
    code = "queue_full"
    title = "Too much is waiting"


class Draining(Unavailable):
    code = "draining"
    title = "The server is stopping"


class StorageFull(RequestError):
    code = "storage_full"
    title = "Disk full"
    retryable = True


class DeadlineExceeded(RequestError):
    code = "deadline_exceeded"
    title = "Deadline exceeded"
    retryable = True
