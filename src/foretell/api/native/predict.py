"""How a predict request is read, answered and refused. The order of the checks is that of contract §4."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import Receive

from foretell.api.answers import Answer, json_answer
from foretell.api.body import read_body
from foretell.api.disconnect import unless_disconnected
from foretell.api.middleware.context import Exchange, exchange_of
from foretell.api.native.columns import Options, answers
from foretell.api.native.formats import formats_of
from foretell.api.native.parameters import allowed_seconds, check_options, check_room, invalid_options, read_options
from foretell.api.native.translate import CSV, Turns, batch_json_turns, rows_csv_turns, single_json, timestamp
from foretell.codecs.base import Answers, Codec
from foretell.core.identity import Ref
from foretell.core.limits import BodyLimits
from foretell.errors import Fault, InvalidInput, NotFound, RequestError, Unavailable
from foretell.inference.service import Ask, InferenceService, Prediction
from foretell.lifecycle.catalog import Catalog
from foretell.lifecycle.servable import Servable

TURN_S = 0.002
UNWATCHED_S = 0.01
UNWATCHED_BYTES = 64 * 1024
CSV_HEADER = f"{CSV}; charset=utf-8; header=present"
_MANY_ROWS = 2000  # writing more on the loop would hold it
_X_CACHE = {"hit": (b"x-cache", b"hit"), "miss": (b"x-cache", b"miss")}


async def predict_single(request: Request) -> Answer:
    """One prediction."""
    return await _predict(request, many=False)


async def predict_batch(request: Request) -> Answer:
    """Many rows, one answer, in the order of the request."""
    return await _predict(request, many=True)


async def _predict(request: Request, *, many: bool) -> Answer:
    exchange = exchange_of(request.scope)
    services, path = exchange.services, request.scope["path_params"]
    limits = services.settings.limits
    target = _resolve(exchange.catalog, path.get("model"), path.get("version"), exchange)
    body = await read_body(request.receive, exchange, limits.max_body_bytes, exchange.arrived_s + limits.timeout_s)
    codec, parameters, answering, body = formats_of(exchange, body, services.codecs, many=many)
    allowed_s = allowed_seconds(exchange.header(b"x-request-timeout"), limits.timeout_s)
    options, faults = read_options(request.scope["query_string"])
    faults += check_room(options, answering.media_type)
    model, version, deadline_s = path.get("model"), path.get("version"), exchange.arrived_s + allowed_s
    ask = Ask(model, version, body, codec, many, deadline_s, parameters, exchange.late, exchange.admission)
    if isinstance(target, RequestError) or faults or check_options(options, target):
        target = await _explain(ask, target, services.service, options=options, faults=faults, limits=limits.body)
    prediction = await _run(exchange, ask, target, request.receive)
    _note(exchange, prediction)
    if faults := check_options(options, prediction.servable):
        raise invalid_options(faults)
    answer = await _answer(exchange, prediction, answering, options)
    if prediction.cache is not None:
        answer.raw_headers.append(_X_CACHE[prediction.cache])
    return answer


def _resolve(catalog: Catalog, model: str | None, version: str | None, exchange: Exchange) -> Servable | RequestError:
    """Who would answer by the path alone, or why nobody can, to be said when its turn has come. Raises NotFound now."""
    try:
        servable = catalog.resolve(model, version)
    except NotFound:
        raise
    except RequestError as error:
        return error
    exchange.model, exchange.version = servable.ref.model, servable.ref.version
    return servable


async def _explain(
    ask: Ask,
    target: Servable | RequestError,
    service: InferenceService,
    *,
    options: Options,
    faults: list[Fault],
    limits: BodyLimits,
) -> Servable:
    """The rare way, for faults outside the body: raises whichever error goes first once the body is looked at too.

    Gives a version only where the body names one that has what the options ask for, and the path's has not.
    """
    async with service.opened(ask) as opened:
        if isinstance(target, RequestError):
            raise invalid_options(faults) if faults and isinstance(target, Unavailable) else target
        servable = target
        if opened.model_version is not None:
            servable = service.catalog_for(ask).resolve(servable.ref.model, opened.model_version)
        faults = [*faults, *check_options(options, servable)]
        if not faults:
            return servable
        try:
            await opened.bind(servable.signature, limits, str(servable.ref))
        except InvalidInput as error:
            total = len(faults) + error.faults_total
            raise InvalidInput(error.detail, faults=[*faults, *error.faults], faults_total=total) from None
        raise invalid_options(faults)


async def _run(exchange: Exchange, ask: Ask, servable: Servable, receive: Receive) -> Prediction:
    service, executor = exchange.services.service, servable.executor
    if executor.mode == "direct" and len(ask.body) <= UNWATCHED_BYTES and executor.prospect(1).wait_s <= UNWATCHED_S:
        # over within a few turns of the event loop: to watch for the caller's leaving would cost more than it saves
        return await service.predict(ask)
    return await unless_disconnected(service.predict(ask), receive)


def _note(exchange: Exchange, prediction: Prediction) -> None:
    exchange.version = prediction.servable.ref.version
    exchange.rows = prediction.outputs.count
    exchange.batch_rows = prediction.run.rows
    exchange.inference_ms = None if prediction.cache == "hit" else prediction.run.duration_s * 1e3


async def _answer(exchange: Exchange, prediction: Prediction, answering: Codec, options: Options) -> Answer:
    outputs, ref = prediction.outputs, prediction.servable.ref
    prediction_id = exchange.services.ids.next()
    if answering.media_type == CSV:
        return _rows_answer(CSV_HEADER, await in_turns(rows_csv_turns(outputs, options)), ref, prediction_id)
    if answering.write is not None:
        said = answers(outputs, options, single=prediction.single)
        body = await _written(answering.write, said, aside=answering.off_loop_bytes == 0 or outputs.count >= _MANY_ROWS)
        return _rows_answer(answering.media_type, body, ref, prediction_id)
    if prediction.single:
        body = single_json(
            outputs,
            0,
            ref,
            prediction_id=prediction_id,
            timestamp=timestamp(time.time()),
            inference_ms=prediction.run.duration_s * 1e3,
            options=options,
        )
        return json_answer(body)
    turns = batch_json_turns(
        outputs,
        ref,
        prediction_id=prediction_id,
        total_ms=lambda: (time.perf_counter() - exchange.started_s) * 1e3,
        options=options,
    )
    return json_answer(await in_turns(turns))


async def in_turns(turns: Turns) -> bytes:
    """What ``turns`` returns; others get their turn wherever it has worked for a few milliseconds."""
    since_s = time.perf_counter()
    while True:
        try:
            next(turns)
        except StopIteration as end:
            body: bytes = end.value
            return body
        if time.perf_counter() - since_s > TURN_S:
            await asyncio.sleep(0)
            since_s = time.perf_counter()


async def _written(write: Callable[[Answers], bytes], said: Answers, *, aside: bool) -> bytes:
    """The answer in one of the formats that codecs write; ``aside``, on a thread, where that may take long."""
    return await asyncio.to_thread(write, said) if aside else write(said)


def _rows_answer(content_type: str, body: bytes, ref: Ref, prediction_id: str) -> Answer:
    """An answer of rows alone: what JSON says of them as a whole stands in headers."""
    headers = [
        (b"content-type", content_type.encode("latin-1")),
        (b"x-model", ref.model.encode("latin-1")),
        (b"x-model-version", ref.version.encode("latin-1")),
        (b"x-prediction-id", prediction_id.encode("latin-1")),
    ]
    return Answer(body, headers)
