"""Bodies that are large: plain ones in slices, the others in the reading process; never on the loop in one go."""

from __future__ import annotations

import asyncio
import io
import json
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from foretell.codecs.csv import codec as csv_codec
from foretell.codecs.json import codec as json_codec
from foretell.codecs.npy import codec as npy_codec
from foretell.core.identity import Ref
from foretell.core.limits import BodyLimits
from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor
from foretell.core.validation import bind
from foretell.core.values import Inputs, Matrix, Outputs, Table, Tensors
from foretell.errors import (
    DeadlineExceeded,
    InvalidInput,
    MalformedRequest,
    QueueFull,
    RequestError,
    Unavailable,
    UnknownVersion,
)
from foretell.inference.reading import aside as aside_module
from foretell.inference.reading import child
from foretell.inference.reading.aside import Aside
from foretell.inference.reading.child import Desk
from foretell.inference.reading.frames import Ended, error_of, frames_of, header_of, inputs_of
from foretell.inference.service import Ask, InferenceService
from foretell.lifecycle.catalog import Catalog, CatalogHolder, Entry
from foretell.lifecycle.servable import Servable
from foretell.lifecycle.states import State
from foretell.testing import FakeCosts, FakeExecutor, FakeModel
from tests.bodies import same
from tests.integration.test_lane import PREDICT
from tests.serving import Sum, running
from tests.wire import Wire, post

LIMITS = BodyLimits(max_rows=100_000)
NUMBERS = Signature((Column("x"), Column("y")), output=Output("regression"))
MIXED = Signature(
    (
        Column("n"),
        Column("t", ColumnType.STRING, nullable=True),
        Column("d", ColumnType.DATETIME),
        Column("i", ColumnType.INTEGER),
        Column("b", ColumnType.BOOLEAN),
    )
)
TENSORS = Signature((), (Tensor("image", "float32", (-1, 2, 2)), Tensor("text", "string", (-1,))))
BIG = 40_000


def body(rows: Any, **more: Any) -> bytes:
    return json.dumps({"features": rows, **more}).encode()


@pytest.fixture(scope="module")
def aside() -> Iterator[Aside]:
    opened = Aside()
    yield opened
    opened.close()


async def asked(aside: Aside, data: bytes, signature: Signature, codec: Any = json_codec) -> Inputs | RequestError:
    try:
        async with aside.opened(codec, data, True, LIMITS, {}) as opened:
            return await opened.bind(signature, LIMITS, "m v1")
    except RequestError as error:
        return error


def here(data: bytes, signature: Signature, codec: Any = json_codec) -> Inputs | RequestError:
    try:
        return bind(codec.parse(data, True, LIMITS, {}), signature, LIMITS, "m v1")
    except RequestError as error:
        return error


ROW = [1.5, "text 🙂", "2026-11-20T10:30:00Z", 41, True]


@pytest.mark.parametrize(
    ("data", "signature"),
    [
        pytest.param(body([[i, 0.5] for i in range(1000)]), NUMBERS, id="numbers"),
        pytest.param(body([ROW, [2, None, "2026-11-20T10:30:00.5+01:00", -1, False]] * 9000), MIXED, id="all types"),
        pytest.param(body([{"image": [[1, 2], [3, 4]], "text": "a"}] * 3), TENSORS, id="tensors"),
        pytest.param(body([[1, 2], [3, "x"]]), NUMBERS, id="a wrong value"),
        pytest.param(body([[1, "\ud800"]]), NUMBERS, id="half a surrogate"),
        pytest.param(body([[1, 2], [3]]), NUMBERS, id="ragged"),
        pytest.param(body([[1, 2, 3]]), NUMBERS, id="wrong count"),
        pytest.param(body([{"x": 1, "z": 2}]), NUMBERS, id="unknown and missing columns"),
        pytest.param(body([[10**30, 10**400]]), NUMBERS, id="numbers beyond 64 bits"),
        pytest.param(body([[1, 2]] * 100_001), NUMBERS, id="too many rows"),
        pytest.param(b"[" * 100_000, NUMBERS, id="brackets"),
        pytest.param(b"\xff", NUMBERS, id="not UTF-8"),
        pytest.param(b"", NUMBERS, id="nothing"),
    ],
)
def test_what_is_read_aside_is_what_is_read_here(aside: Aside, data: bytes, signature: Signature) -> None:
    away, at_home = asyncio.run(asked(aside, data, signature)), here(data, signature)
    if isinstance(at_home, RequestError):
        assert isinstance(away, type(at_home))
        assert (away.detail, away.instance_code, away.instance_title, away.faults_total) == (
            at_home.detail, at_home.instance_code, at_home.instance_title, at_home.faults_total,
        )  # fmt: skip
        assert [(f.pointer, f.message, f.row, f.value) for f in away.faults] == [
            (f.pointer, f.message, f.row, f.value) for f in at_home.faults
        ]
        return
    assert not isinstance(away, RequestError)
    if isinstance(at_home, Tensors):
        assert isinstance(away, Tensors)
        assert {n: (a.dtype, a.tolist()) for n, a in away.arrays.items()} == {
            n: (a.dtype, a.tolist()) for n, a in at_home.arrays.items()
        }
        return
    assert isinstance(away, Matrix | Table) and same(away, at_home)


def test_csv_is_read_aside_too(aside: Aside) -> None:
    data = b"x,y\r\n" + b"1,2\r\n" * 500
    away = asyncio.run(asked(aside, data, NUMBERS, csv_codec))
    assert isinstance(away, Matrix) and away.count == 500


def test_rows_that_travel_may_be_written_to() -> None:
    """Libraries take arrays for theirs; one that cannot be written to breaks some of them."""
    [(header, payloads)] = frames_of(Matrix(np.ones((3, 2))))
    back = inputs_of(json.loads(json.dumps(header)), bytearray(b"".join(payloads)))
    assert isinstance(back, Matrix) and back.values.flags.writeable


def test_faults_travel_whole() -> None:
    error = here(body([[1, "a"], ["b", None]]), NUMBERS)
    assert isinstance(error, InvalidInput)
    back = error_of(json.loads(json.dumps(header_of(error))))
    assert isinstance(back, InvalidInput) and back.faults == error.faults


def test_the_process_is_replaced_after_it_died_or_hung() -> None:
    async def scenario() -> None:
        aside = Aside()
        assert isinstance(await asked(aside, body([[1, 2]]), NUMBERS), Matrix)
        assert aside.running and aside._process is not None
        aside._process.kill()
        aside._process.wait()
        assert isinstance(await asked(aside, body([[1, 2]]), NUMBERS), Unavailable)
        assert isinstance(await asked(aside, body([[1, 2]]), NUMBERS), Matrix), "the next finds a new one"
        aside.close()
        assert not aside.running
        hanging = Aside((sys.executable, "-c", "import time; time.sleep(60)"), hang_s=0.05)
        assert isinstance(await asked(hanging, body([[1, 2]]), NUMBERS), Unavailable)
        hanging.close()

    asyncio.run(scenario())


def test_the_process_goes_when_nothing_is_to_be_read() -> None:
    async def scenario() -> None:
        aside = Aside(idle_s=0.01)
        assert isinstance(await asked(aside, body([[1, 2]]), NUMBERS), Matrix)
        for _ in range(2000):
            if not aside.running:
                break
            await asyncio.sleep(0.005)
        assert not aside.running
        aside.close()

    asyncio.run(scenario())


def test_a_fault_of_ours_in_the_process_is_one_here() -> None:
    class Unknown:
        media_type = "text/unknown"

    async def scenario() -> None:
        aside = Aside()
        with pytest.raises(RuntimeError, match="AttributeError"):
            await asked(aside, b"x", NUMBERS, Unknown())
        assert isinstance(await asked(aside, body([[1, 2]]), NUMBERS), Matrix), "and it goes on"
        aside.close()

    asyncio.run(scenario())


def test_more_than_a_few_large_bodies_do_not_wait(monkeypatch: pytest.MonkeyPatch, aside: Aside) -> None:
    monkeypatch.setattr(aside_module, "MAX_WAITING", 2)

    async def scenario() -> None:
        answers = await asyncio.gather(*[asked(aside, body([[1, 2]] * 1000), NUMBERS) for _ in range(5)])
        assert [isinstance(answer, QueueFull) for answer in answers].count(True) == 3
        assert sum(isinstance(answer, Matrix) for answer in answers) == 2

    asyncio.run(scenario())


# -- the service -------------------------------------------------------------------------------------------------------


def servable(
    version: str, signature: Signature = NUMBERS, respond: Callable[[Inputs], Outputs] | None = None
) -> Servable:
    model = FakeModel(signature, 1.0, respond)
    decoders = json_codec.compile(signature, LIMITS)
    assert decoders is not None
    return Servable(
        Ref("m", version), "fake", signature, model, FakeExecutor(model), FakeCosts(), "sha256:0",
        decoders={json_codec.media_type: decoders},
    )  # fmt: skip


def with_service(scenario: Callable[[InferenceService], Coroutine[Any, Any, None]], *servables: Servable) -> None:
    entries = [Entry(one.ref, State.READY, None, one) for one in servables or [servable("v1")]]

    async def run() -> None:
        service = InferenceService(CatalogHolder(Catalog.of(entries, None)), LIMITS)
        try:
            await scenario(service)
        finally:
            service.close()

    asyncio.run(run())
    assert all(one.leases == 0 for one in servables)


def ask(data: bytes, within_s: float = 60.0, version: str | None = None, codec: Any = json_codec) -> Ask:
    return Ask("m", version, data, codec, True, time.monotonic() + within_s)


class Turns:
    """How often the loop came round while something ran."""

    def __init__(self) -> None:
        self.count = 0
        self._stop = False

    async def counting(self, work: Coroutine[Any, Any, Any]) -> Any:
        async def count() -> None:
            while not self._stop:
                await asyncio.sleep(0)
                self.count += 1

        counter = asyncio.create_task(count())
        try:
            return await work
        finally:
            self._stop = True
            await counter


def test_a_large_plain_body_lets_others_have_turns() -> None:
    data = body([[i, 0.123456789] for i in range(BIG)])

    async def scenario(service: InferenceService) -> None:
        turns = Turns()
        prediction = await turns.counting(service.predict(ask(data)))
        assert prediction.outputs.values[-1] == BIG - 1 + 0.123456789
        assert not service._reader._aside.running, "what is plain needs no other process"

    with_service(scenario, servable("v1"))


def test_a_large_wrong_body_is_explained_while_others_have_turns() -> None:
    data = body([[1.5, 2.5]] * BIG + [[1.5, "x"]])

    async def scenario(service: InferenceService) -> None:
        turns = Turns()
        with pytest.raises(InvalidInput) as refused:
            await turns.counting(service.predict(ask(data)))
        assert refused.value.faults[0].pointer == f"/features/{BIG}/1"
        assert turns.count > 100

    with_service(scenario, servable("v1"))


def test_a_large_body_may_name_a_version_and_must_not_name_an_unknown_one() -> None:
    rows = [[1.5, 2.5]] * BIG

    async def scenario(service: InferenceService) -> None:
        prediction = await service.predict(ask(body(rows, model_version="v1")))
        assert prediction.servable.ref.version == "v1"
        with pytest.raises(UnknownVersion):
            await service.predict(ask(body(rows, model_version="v9")))

    with_service(scenario, servable("v1"), servable("v2"))


def test_a_model_that_fails_on_a_large_body_is_told_from_one_that_cannot() -> None:
    def overflow(inputs: Inputs) -> Outputs:
        return Outputs(NUMBERS.output, values=np.full(inputs.count, np.nan))

    async def scenario(service: InferenceService) -> None:
        with pytest.raises(InvalidInput) as refused:
            await service.predict(ask(body([[1.5, 1e200]] * BIG)))
        assert refused.value.faults_total == BIG

    with_service(scenario, servable("v1", respond=overflow))


def test_reading_is_part_of_the_time_allowed() -> None:
    async def scenario(service: InferenceService) -> None:
        with pytest.raises(DeadlineExceeded):
            await service.predict(ask(body([["x", 1]] * BIG), within_s=0.0001))

    with_service(scenario, servable("v1"))


# -- over the wire -----------------------------------------------------------------------------------------------------


def test_large_bodies_and_large_answers_over_http() -> None:
    rows = 30_000
    with running(Sum(), limits={"max_batch_rows": 50_000}) as server, Wire(server.port) as wire:
        wire.send(post(f"{PREDICT}/batch", body([[i, 0.25] for i in range(rows)])))
        answer = wire.answer()
        assert answer.status == 200
        assert answer.json["predictions"] == [10.0 * i + 0.25 for i in range(rows)]
        assert answer.json["batch_size"] == rows
        wire.send(post(f"{PREDICT}/batch", body([[i, 0.25] for i in range(rows)]), "Accept: text/csv"))
        lines = wire.answer().body.decode().split("\r\n")
        assert lines[0] == "prediction" and lines[1:-1] == [str(10.0 * i + 0.25) for i in range(rows)]
        wire.send(post(f"{PREDICT}/batch?topk=3", body([[1, 2]] * rows + [[1]])))
        answer = wire.answer()
        assert (answer.status, answer.json["code"]) == (400, "ragged_rows")
        wire.send(post(f"{PREDICT}/batch?topk=3", body([[1, 2]] * rows)))
        answer = wire.answer()
        assert (answer.status, answer.json["code"]) == (422, "invalid_parameter")


# -- the process from inside ------------------------------------------------------------------------------------------


def said(desk: Desk, header: dict[str, Any], payload: bytes = b"") -> list[dict[str, Any]]:
    return [reply for reply, _ in desk.replies({"limits": asdict(LIMITS), **header}, bytearray(payload))]


def test_the_desk_opens_a_body_and_holds_it_against_a_signature() -> None:
    desk = Desk()
    parse = {"op": "parse", "codec": json_codec.__module__, "many": True, "parameters": {}}
    bind_it = {"op": "bind", "signature": NUMBERS.to_document(), "label": "m v1"}
    with pytest.raises(RuntimeError, match="no body"):
        said(desk, bind_it)
    assert said(desk, parse, body([[1, 2]], model_version="v2")) == [{"version": "v2"}]
    [reply] = said(desk, bind_it)
    assert reply["kind"] == "Matrix" and not reply["more"]
    assert said(desk, parse, body([[1, "x"]])) == [{"version": None}]
    assert said(desk, bind_it)[0]["error"] == "InvalidInput"
    assert said(desk, parse, b"{")[0]["error"] == "MalformedRequest"


def test_the_process_answers_until_its_input_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own loop, here on frames that stand ready."""
    parse = {"op": "parse", "codec": json_codec.__module__, "many": True, "parameters": {}, "limits": asdict(LIMITS)}
    waiting: list[tuple[dict[str, Any], bytearray]] = [
        (parse, bytearray(body([[1, 2]]))),
        ({"op": "bind", "limits": asdict(LIMITS)}, bytearray()),
    ]
    sent: list[dict[str, Any]] = []

    def receive(_: int) -> tuple[dict[str, Any], bytearray]:
        if not waiting:
            raise Ended
        return waiting.pop(0)

    monkeypatch.setattr(child, "receive", receive)
    monkeypatch.setattr(child, "send", lambda _, header, *__: sent.append(header))
    monkeypatch.setattr("os.dup", lambda _: 99)
    monkeypatch.setattr("os.dup2", lambda *_: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    child.main()
    assert sent == [{"version": None}, {"failed": "KeyError"}]


def test_formats_read_on_threads_are_read_there_whatever_their_size() -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.ones((BIG, 2)))
    wrong = io.BytesIO()
    np.save(wrong, np.full((BIG, 2), np.nan))

    async def scenario(service: InferenceService) -> None:
        prediction = await service.predict(ask(buffer.getvalue(), codec=npy_codec))
        assert prediction.outputs.count == BIG
        with pytest.raises(InvalidInput):
            await service.predict(ask(wrong.getvalue(), codec=npy_codec))
        async with service.opened(ask(body([[1, 2]]))) as opened:
            assert opened.model_version is None
            assert (await opened.bind(NUMBERS, LIMITS, "m v1")).count == 1
        single = Ask("m", None, body([[1, 2]]), json_codec, False, time.monotonic() + 60)
        with pytest.raises(MalformedRequest):
            await service.predict(single)
        assert not service._reader._aside.running

    with_service(scenario, servable("v1"))
