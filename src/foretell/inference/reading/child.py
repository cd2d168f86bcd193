"""The reading process: takes bodies that are not plain, and gives rows, or what is wrong with them.

It knows no model and holds nothing beyond the body in hand. It ends when the server does.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Iterator
from typing import Any

from foretell.codecs.base import Codec
from foretell.core.document import Document
from foretell.core.limits import BodyLimits
from foretell.core.signature import Signature
from foretell.core.validation import bind
from foretell.errors import RequestError
from foretell.inference.reading.frames import Ended, frames_of, header_of, receive, send

Reply = tuple[dict[str, Any], list[memoryview]]


class Desk:
    """The one body in hand."""

    def __init__(self) -> None:
        self._document: Document | None = None

    def replies(self, header: dict[str, Any], payload: bytearray) -> Iterator[Reply]:
        """The frames that answer one frame: ``parse`` opens a body, ``bind`` holds it against a signature."""
        limits = BodyLimits(**header["limits"])
        try:
            if header["op"] == "parse":
                codec: Codec = importlib.import_module(header["codec"]).codec
                self._document = codec.parse(bytes(payload), header["many"], limits, header["parameters"])
                yield {"version": self._document.model_version}, []
                return
            if self._document is None:
                raise RuntimeError("no body is open")
            signature = Signature.from_document(header["signature"])
            inputs = bind(self._document, signature, limits, header["label"])
        except RequestError as error:
            yield header_of(error), []
            return
        yield from frames_of(inputs)


def main() -> None:
    """Answers on what was standard output until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the server says when to end
    answers = os.dup(1)
    os.dup2(2, 1)
    desk = Desk()
    while True:
        try:
            header, payload = receive(0)
        except Ended:
            return
        try:
            for reply in desk.replies(header, payload):
                send(answers, *reply)
        except BrokenPipeError:
            return
        except Exception as error:
            send(answers, {"failed": f"{type(error).__name__}"})


if __name__ == "__main__":
    main()
