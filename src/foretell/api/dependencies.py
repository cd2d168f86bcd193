"""What the routes need from the running server, and where they find it."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from foretell.codecs.base import Codec
from foretell.codecs.stream.base import StreamFormat
from foretell.core.ids import Ids
from foretell.inference.service import InferenceService
from foretell.security.gate import Gate
from foretell.security.keys.opening import Keys
from foretell.security.tokens.desk import TokenDesk
from foretell.settings import Settings
from foretell.telemetry.observer import Observer

STATE = "services"


class Services(Protocol):
    """The part of the bootstrap's services that the API sees. ``started_at`` is in seconds since the epoch."""

    @property
    def settings(self) -> Settings: ...

    @property
    def service(self) -> InferenceService: ...

    @property
    def codecs(self) -> tuple[Codec, ...]:
        """What bodies are read in; the first is what a body without a content type is taken for."""
        ...

    @property
    def streams(self) -> tuple[StreamFormat, ...]:
        """What streams are read and written in."""
        ...

    @property
    def observer(self) -> Observer: ...

    @property
    def ids(self) -> Ids: ...

    @property
    def gate(self) -> Gate: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def desk(self) -> TokenDesk | None:
        """Where keys are traded for tokens; None where that is switched off."""
        ...

    @property
    def started_at(self) -> float: ...

    @property
    def lane(self) -> Any:
        """What the protocol class below ASGI looks for in the lifespan's state; None where the lane is off."""
        ...

    @property
    def wire(self) -> Any:
        """What the protocol class below ASGI holds connections to."""
        ...


OpenServices = Callable[[Settings], AbstractAsyncContextManager[Services]]


def find_services(scope: MutableMapping[str, Any]) -> Services | None:
    """The services of the running application; None where the ASGI server never ran its lifespan."""
    found: Services | None = scope.get("state", {}).get(STATE)
    return found
