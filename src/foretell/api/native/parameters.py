"""What a predict request says outside its body: query parameters and ``X-Request-Timeout``. Pure.

An unknown query parameter is refused, as an unknown column is: ``?topk=3`` answered without a ``top`` is a silent
mistake, and a POST has no use for a cache-buster (ADR 0006).
"""

from __future__ import annotations

import math
import re

from foretell.api.native.columns import PLAIN, Options
from foretell.api.queries import parameters_of
from foretell.core.faults import clip
from foretell.core.identity import closest
from foretell.errors import Fault, InvalidInput, MalformedRequest
from foretell.lifecycle.servable import Servable

KNOWN = ("top_k", "probabilities")
MAX_TOP_K = 2**31 - 1
NPY = "application/x-npy"
TIMEOUT_HEADER = "X-Request-Timeout"

_COUNT = re.compile(r"[0-9]{1,10}")
_SECONDS = re.compile(r"[0-9]{1,320}(\.[0-9]{1,320})?([eE][+-]?[0-9]{1,3})?")


def read_options(query: bytes) -> tuple[Options, list[Fault]]:
    """The options a query string asks for, and every fault in it."""
    if not query:
        return PLAIN, []
    try:
        pairs = parameters_of(query)
    except ValueError as error:
        return PLAIN, [Fault("too_many_parameters", str(error), parameter="")]
    top_k: int | None = None
    probabilities = False
    faults: list[Fault] = []
    for name, value in pairs:
        if name not in KNOWN:
            faults.append(_unknown(name))
        elif sum(other == name for other, _ in pairs) > 1:
            faults.append(Fault("parameter_repeated", f"{name} is given more than once", parameter=name))
        elif name == "top_k":
            top_k, fault = _count(value)
            faults += fault
        elif value in ("true", "false"):
            probabilities = value == "true"
        else:
            faults.append(
                Fault("wrong_value", "expected true or false", expected="true or false", value=value, parameter=name)
            )
    return Options(top_k, probabilities), faults


def check_options(options: Options, servable: Servable) -> list[Fault]:
    """What the options ask for and the model does not have."""
    if options is PLAIN or servable.signature.output.probabilities:
        return []
    asked = [name for name, value in zip(KNOWN, options, strict=True) if value]
    return [
        Fault("no_probabilities", f"model {servable.ref} gives no probabilities; leave {name} out", parameter=name)
        for name in asked
    ]


def check_room(options: Options, media_type: str) -> list[Fault]:
    """What the options ask for and an answer of the type has no room for."""
    if options.top_k is None or media_type != NPY:
        return []
    message = "an array has no room for it; ask for probabilities=true, or for an answer in another format"
    return [Fault("no_room", message, parameter="top_k")]


def invalid_options(faults: list[Fault]) -> InvalidInput:
    """The error for faults in the query string."""
    first = faults[0]
    where = f"Query parameter {clip(first.parameter)}: " if first.parameter else "Query string: "
    meant = f" Did you mean {first.suggestion}?" if first.suggestion else ""
    return InvalidInput(
        f"{where}{first.message}.{meant}", faults=faults, code="invalid_parameter", title="Query parameter is not valid"
    )


def allowed_seconds(header: str | None, timeout_s: float) -> float:
    """How long the request may take: the server's time-out, or the caller's where that is sent and shorter.

    Raises MalformedRequest where the header is no number of seconds above 0.
    """
    if header is None:
        return timeout_s
    seconds = float(header) if _SECONDS.fullmatch(header.strip()) else 0.0
    if not 0 < seconds < math.inf:
        fault = Fault(
            "wrong_value",
            "expected a number of seconds above 0, such as 2.5",
            value=header,
            readable=False,
            parameter=TIMEOUT_HEADER,
        )
        raise MalformedRequest(
            f"{TIMEOUT_HEADER} must be a number of seconds above 0, such as 2.5.",
            faults=[fault],
            code="invalid_timeout",
            title="Time-out cannot be read",
        )
    return min(seconds, timeout_s)


def _count(value: str) -> tuple[int | None, list[Fault]]:
    if _COUNT.fullmatch(value) and 1 <= int(value) <= MAX_TOP_K:
        return int(value), []
    message = "expected a whole number of 1 or more"
    return None, [Fault("wrong_value", message, expected=message[9:], value=value, parameter="top_k")]


def _unknown(name: str) -> Fault:
    suggestion = closest(name, KNOWN)
    message = f"not known here; known are {', '.join(KNOWN)}"
    return Fault("unknown_parameter", message, parameter=clip(name), suggestion=suggestion)
