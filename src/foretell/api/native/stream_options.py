"""What a stream says in its query string. Pure; unknown parameters are refused, as on every predict path."""

from __future__ import annotations

from typing import NamedTuple, cast, get_args

from foretell.api.queries import parameters_of
from foretell.codecs.stream.base import OnError
from foretell.core.faults import clip
from foretell.core.identity import closest
from foretell.errors import Fault

KNOWN = ("on_error", "summary")
ON_ERROR = get_args(OnError)


class StreamOptions(NamedTuple):
    """``on_error``: whether a bad row is given back with its error, left out, or ends the stream."""

    on_error: OnError = "null"
    summary: bool = True


def read_stream_options(query: bytes) -> tuple[StreamOptions, list[Fault]]:
    """The options a query string asks for, and every fault in it."""
    try:
        pairs = parameters_of(query)
    except ValueError as error:
        return StreamOptions(), [Fault("too_many_parameters", str(error), parameter="")]
    options, faults = StreamOptions(), []
    for name, value in pairs:
        if name not in KNOWN:
            message = f"not known here; known are {', '.join(KNOWN)}"
            faults.append(Fault("unknown_parameter", message, parameter=clip(name), suggestion=closest(name, KNOWN)))
        elif sum(other == name for other, _ in pairs) > 1:
            faults.append(Fault("parameter_repeated", f"{name} is given more than once", parameter=name))
        elif name == "on_error" and value in ON_ERROR:
            options = options._replace(on_error=cast(OnError, value))
        elif name == "summary" and value in ("true", "false"):
            options = options._replace(summary=value == "true")
        else:
            wanted = "null, skip or fail" if name == "on_error" else "true or false"
            faults.append(Fault("wrong_value", f"expected {wanted}", expected=wanted, value=value, parameter=name))
    return options, faults
