"""A signature as people see it in a terminal."""

from __future__ import annotations

import io
import re

from rich.console import Console

from foretell.cli.signature_table import answer_line, signature_table
from foretell.core.signature import Column, ColumnType, Output, Signature, Tensor


def shown(signature: Signature) -> str:
    console = Console(file=io.StringIO(), width=160, color_system=None)
    console.print(signature_table(signature))
    console.print(answer_line(signature))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_only_what_is_enforced_stands_under_must_be() -> None:
    text = shown(
        Signature(
            (
                Column("age", ColumnType.INTEGER, minimum=0, exclusive_maximum=130, example=41),
                Column("debt", exclusive_minimum=-1, maximum=1e6, nullable=True),
                Column("plan", ColumnType.CATEGORY, categories=("a", "b"), closed=True),
                Column("city", ColumnType.CATEGORY, categories=("Oslo",)),
                Column("code", ColumnType.STRING, pattern="[A-Z]+", max_length=3),
            ),
            output=Output("regression"),
        )
    )
    assert re.search(r"age +integer +≥ 0; < 130 +41", text)
    assert re.search(r"debt +float, or null +> -1; ≤ 1e\+06", text)
    assert "one of a, b" in text
    assert "Oslo" not in text
    assert "like [A-Z]+; at most 3 characters" in text
    assert text.endswith("gives a number\n")


def test_tensors_show_their_shapes() -> None:
    tensor = Tensor("image", "float32", (-1, 3, 8, 8))
    text = shown(Signature(tensors=(tensor,), output=Output("tensors", tensors=(Tensor("out", "float32", (-1,)),))))
    assert "image   float32  any × 3 × 8 × 8" in text
    assert "gives tensors: out" in text


def test_wide_signatures_and_long_or_hostile_names_are_clipped() -> None:
    columns = tuple(Column(f"{'x' * 60}[bold]\x1b{i}") for i in range(50))
    text = shown(Signature(columns, output=Output("classification", classes=tuple(range(20)))))
    assert "and 10 more" in text
    assert "x" * 48 not in text
    assert "\x1b" not in text
    assert "one of 20 classes: 0, 1, 2, 3, 4, 5, 6, 7, ..." in text


def test_answers_of_every_kind_are_put_in_words() -> None:
    def line(output: Output) -> str:
        return answer_line(Signature((Column("a"),), output=output))

    assert line(Output("classification")) == "gives a class"
    assert line(Output("classification", classes=("no", "yes"), probabilities=True)) == (
        "gives one of 2 classes: no, yes, with probabilities"
    )
    assert line(Output("regression", names=("y0", "y1"))) == "gives 2 values a row: y0, y1"
