"""Arrow streams (IPC streaming format): one schema and batches of rows, buffers compressed or not."""

from __future__ import annotations

from collections.abc import Mapping

from foretell.codecs.arrow.arrays import frame_of, readable
from foretell.codecs.arrow.library import ByArrow, refusing, too_many_columns
from foretell.codecs.arrow.messages import broken, examine
from foretell.codecs.arrow.tables import table_of
from foretell.codecs.base import Answers
from foretell.core.document import Document
from foretell.core.faults import malformed
from foretell.core.frame import Frame
from foretell.core.limits import BodyLimits


class ArrowCodec(ByArrow):
    """The codec of ``application/vnd.apache.arrow.stream``."""

    @property
    def media_type(self) -> str:
        return "application/vnd.apache.arrow.stream"

    def parse(self, body: bytes, many: bool, limits: BodyLimits, parameters: Mapping[str, str]) -> Document:  # noqa: ARG002
        if not body:
            raise malformed("body_empty", "the body is empty", "The body is empty; send an Arrow stream.")
        rows = examine(body, limits)
        if not 0 < rows <= limits.max_rows:
            return Document("arrow", not many, Frame((), (), rows))
        with refusing("malformed_arrow", "an Arrow stream"):
            return Document("arrow", not many, _frame(body, rows, limits))

    def write(self, answers: Answers) -> bytes:
        import pyarrow as pa

        table, sink = table_of(answers), pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        written: bytes = sink.getvalue().to_pybytes()
        return written


def _frame(body: bytes, rows: int, limits: BodyLimits) -> Frame:
    import pyarrow as pa

    data = pa.py_buffer(body)
    schema = pa.ipc.read_schema(data)
    if len(schema) > limits.max_columns:
        raise too_many_columns(len(schema), limits)
    wanted = [index for index, field in enumerate(schema) if readable(field.type)]
    if not wanted:  # to include no field means to pyarrow that all are included
        return frame_of(schema, {}, rows, limits)
    options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=wanted)
    table = pa.ipc.open_stream(data, options=options).read_all()
    table.validate(full=True)
    if table.num_rows != rows or table.num_columns != len(wanted):
        raise broken("its batches do not have the rows they say")
    return frame_of(schema, dict(zip(wanted, table.columns, strict=True)), rows, limits)
