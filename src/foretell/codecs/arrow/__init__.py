"""Arrow streams and Parquet files: bodies and answers of columns, read and written by pyarrow.

pyarrow believes what a body says of its own sizes, so ``messages`` and ``pages`` hold that against the bytes there are
before anything is decompressed or made.
"""

from __future__ import annotations

from foretell.codecs.arrow.parquet import ParquetCodec
from foretell.codecs.arrow.stream import ArrowCodec

__all__ = ["ArrowCodec", "ParquetCodec", "arrow_codec", "parquet_codec"]

arrow_codec = ArrowCodec()
parquet_codec = ParquetCodec()
