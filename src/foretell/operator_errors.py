"""The root of all errors, and those that end a start or a command; ``foretell.errors`` has the whole tree."""

from __future__ import annotations

from typing import ClassVar


class ForetellError(Exception):
    """The root. ``str(error)`` is the detail, one or two sentences fit for a terminal or an answer."""

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Error"
    retryable: ClassVar[bool] = False

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


# -- the operator's --------------------------------------------------------------------------------------------------


class OperatorError(ForetellError):
    """Whoever runs the server or the command must mend something. ``exit_code`` is the command line's."""

    code = "operator_error"
    title = "Cannot run"
    exit_code: int = 1


class SettingsError(OperatorError):
    code = "settings_invalid"
    title = "Invalid settings"
    exit_code = 78  # EX_CONFIG of sysexits.h


class PathMissing(OperatorError):
    code = "path_missing"
    title = "Path not found"
    exit_code = 66  # EX_NOINPUT


class CertificateUnusable(OperatorError):
    code = "certificate_unusable"
    title = "Certificate cannot be used"
    exit_code = 78


class RiskNotAccepted(OperatorError):
    """The server would stand open in a way that its operator has not accepted by name."""

    code = "risk_not_accepted"
    title = "Risk not accepted"
    exit_code = 78


class PortInUse(OperatorError):
    code = "port_in_use"
    title = "Port in use"
    exit_code = 69  # EX_UNAVAILABLE


class KeyFault(OperatorError):
    """A key cannot be made, found or changed as asked. ``conflict``: it contradicts one that is there."""

    code = "key_fault"
    title = "Key not usable so"
    exit_code = 65  # EX_DATAERR

    def __init__(self, detail: str, *, hint: str | None = None, conflict: bool = False) -> None:
        super().__init__(detail, hint=hint)
        self.conflict = conflict


class StateError(OperatorError):
    code = "state_unusable"
    title = "State not usable"
    exit_code = 74  # EX_IOERR


class StateAway(StateError):
    code = "state_away"
    title = "State not reachable"
    retryable = True
    exit_code = 75  # EX_TEMPFAIL


class StateFull(StateError):
    code = "state_full"
    title = "Disk full"


class StartFailed(OperatorError):
    """The application, or a worker process of it, did not start. ``exit_code`` may be that of the worker."""

    code = "start_failed"
    title = "Start failed"
    exit_code = 70  # EX_SOFTWARE

    def __init__(self, detail: str, *, hint: str | None = None, exit_code: int = 70) -> None:
        super().__init__(detail, hint=hint)
        self.exit_code = exit_code


# -- artifacts ---------------------------------------------------------------------------------------------------------


class ArtifactError(ForetellError):
    code = "artifact_invalid"
    title = "Artifact cannot be served"
    exit_code: ClassVar[int] = 65  # EX_DATAERR


class ManifestError(ArtifactError):
    code = "manifest_invalid"
    title = "Invalid manifest"


class IntegrityError(ArtifactError):
    code = "integrity_failed"
    title = "Integrity check failed"


class UnrecognisedArtifact(ArtifactError):
    code = "artifact_unrecognised"
    title = "Unrecognised artifact"


class UntrustedArtifact(ArtifactError):
    code = "artifact_untrusted"
    title = "Untrusted artifact"


class MissingLibrary(ArtifactError):
    code = "library_missing"
    title = "Library not installed"


class SignatureMissing(ArtifactError):
    code = "signature_missing"
    title = "Signature unknown"


class LoadFailed(ArtifactError):
    code = "load_failed"
    title = "Model cannot be loaded"


class GoldenMismatch(ArtifactError):
    code = "golden_mismatch"
    title = "Golden examples not met"


# -- packaging ---------------------------------------------------------------------------------------------------------


class PackagingError(ForetellError):
    code = "packaging_failed"
    title = "Cannot package"
    exit_code: ClassVar[int] = 65


class VersionExists(PackagingError):
    code = "version_exists"
    title = "Version exists"
    exit_code = 73  # EX_CANTCREAT


class NotStorable(PackagingError):
    code = "not_storable"
    title = "Cannot be stored"


class ConversionDiffers(PackagingError):
    code = "conversion_differs"
    title = "Conversion changes answers"
