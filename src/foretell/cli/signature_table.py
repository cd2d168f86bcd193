"""A signature as a table for people."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from foretell.core.signature import Column, Signature, Tensor
from foretell.core.values import display_names

_ROWS_MAX = 40
_TEXT_MAX_CHARS = 48
_BOUNDS = (("minimum", "≥"), ("exclusive_minimum", ">"), ("maximum", "≤"), ("exclusive_maximum", "<"))


def signature_table(signature: Signature) -> Table:
    """The inputs, one a line."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("column" if signature.columns else "tensor", "type", "must be", "example"):
        table.add_column(heading, overflow="fold")
    items: tuple[Column | Tensor, ...] = (*signature.columns, *signature.tensors)
    for item in items[:_ROWS_MAX]:
        table.add_row(*(escape(_clip(cell)) for cell in _cells(item)))
    if len(items) > _ROWS_MAX:
        table.add_row(f"[dim]and {len(items) - _ROWS_MAX} more[/]")
    return table


def _cells(item: Column | Tensor) -> tuple[str, str, str, str]:
    if isinstance(item, Tensor):
        shape = " × ".join("any" if size < 0 else str(size) for size in item.shape)
        return item.name, item.dtype, shape, ""
    example = "" if item.example is None else str(item.example)
    return item.name, f"{item.type}{', or null' if item.nullable else ''}", "; ".join(_declared(item)), example


def _declared(column: Column) -> list[str]:
    """What is enforced, in words."""
    bounds = ((sign, getattr(column, name)) for name, sign in _BOUNDS)
    said = [f"{sign} {bound:g}" for sign, bound in bounds if bound is not None]
    if column.closed and column.categories:
        said.append(f"one of {', '.join(column.categories)}")
    if column.pattern is not None:
        said.append(f"like {column.pattern}")
    if column.max_length is not None:
        said.append(f"at most {column.max_length} characters")
    return said


def answer_line(signature: Signature) -> str:
    """What comes back for a row, in words, as markup."""
    output = signature.output
    names = display_names(output) or tuple(map(str, output.classes or ()))
    shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    if output.several:
        return f"gives {len(output.names)} values a row: {escape(_clip(', '.join(output.names)))}"
    if output.kind == "classification":
        what = f"one of {len(names)} classes: {escape(shown)}" if names else "a class"
        return f"gives {what}{', with probabilities' if output.probabilities else ''}"
    return (
        "gives a number"
        if output.kind == "regression"
        else f"gives tensors: {', '.join(t.name for t in output.tensors)}"
    )


def _clip(text: str) -> str:
    flat = "".join(character if character.isprintable() else "·" for character in text)
    return flat if len(flat) <= _TEXT_MAX_CHARS else flat[: _TEXT_MAX_CHARS - 1] + "…"
