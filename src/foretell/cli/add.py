"""``foretell add``: a model file becomes an immutable version of a repository."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from foretell.cli.signature_table import answer_line, signature_table
from foretell.core.identity import name_fault
from foretell.errors import PackagingError
from foretell.packaging.csv_sample import read_csv
from foretell.packaging.curl import curl_line
from foretell.packaging.example import Example
from foretell.packaging.files import ModelFile
from foretell.packaging.folder import next_version
from foretell.packaging.packing import Order, Packaged, pack
from foretell.packaging.tensor_example import SUFFIXES, TensorExample
from foretell.runtimes.registry import installed
from foretell.settings import Settings

_DATA = "Example data"
_STORAGE = "Storage"
_WORDS = "What to keep with it"


def add(
    name: Annotated[str, typer.Argument(help="What the model is to be called, such as [bold]iris[/].")],
    model: Annotated[
        Path,
        typer.Argument(
            help="The model file: .joblib, .pkl, .skops, .onnx, XGBoost's .ubj or .json, LightGBM's .txt, "
            "model.py, PyTorch's .pt2 and .pt, .tflite, .keras, or the folder of a SavedModel."
        ),
    ],
    *,
    example: Annotated[
        Path,
        typer.Option(
            help="CSV file with a header and rows the model was trained on. Types, golden examples and reference "
            "statistics come from it. For a model that takes tensors a .npz or .npy file.",
            rich_help_panel=_DATA,
        ),
    ],
    target: Annotated[
        str | None,
        typer.Option(
            help="The column that is predicted; left out of the features, and checked.", rich_help_panel=_DATA
        ),
    ] = None,
    declare: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN.KEY=VALUE",
            help="What callers must keep to, as often as needed: [bold]age.minimum=0[/], [bold]plan.closed=true[/], "
            "[bold]city.nullable=true[/], [bold]signup.type=datetime[/]. Nothing else is enforced.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    class_names: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,C", help="Names of the classes for people, in the order of the classes.", rich_help_panel=_DATA
        ),
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="The version; without it the one after the newest vN.", rich_help_panel=_STORAGE)
    ] = None,
    models: Annotated[
        Path | None,
        typer.Option(help="The repository; without it FORETELL_MODELS, else ./models.", rich_help_panel=_STORAGE),
    ] = None,
    scaler: Annotated[
        Path | None,
        typer.Option(
            help="A fitted scaler in a file of its own; the two become one pipeline.", rich_help_panel=_STORAGE
        ),
    ] = None,
    convert: Annotated[
        Literal["onnx", "skops"] | None,
        typer.Option(help="Store it as this instead of what Foretell would choose.", rich_help_panel=_STORAGE),
    ] = None,
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="You trust whoever wrote the file: a pickle or a Keras model is loaded once, which runs its code, and "
            "stored as data; a PyTorch program is pinned and kept.",
            rich_help_panel=_STORAGE,
        ),
    ] = False,
    keep_pickle: Annotated[
        bool,
        typer.Option(
            "--keep-pickle",
            help="Store the pickle itself, to be served in a process of its own where the settings allow it by name: "
            "for what neither skops nor ONNX can hold.",
            rich_help_panel=_STORAGE,
        ),
    ] = False,
    files: Annotated[
        list[Path] | None,
        typer.Option(
            "--with",
            metavar="FILE",
            help="A file that a model.py or a kept pickle needs beside it, as often as needed.",
            rich_help_panel=_STORAGE,
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", help="A note to keep with the version, as often as needed.", rich_help_panel=_WORDS
        ),
    ] = None,
) -> None:
    """Add a trained model to a repository.

    Writes an immutable version folder, checks that what was written answers as the model does, and shows how to
    serve it.

    [bold]Examples[/]

    foretell add iris model.joblib --example train.csv --target species --trust-pickle

    foretell add churn model.onnx --example churn.csv --target churned --version 2026-11-01

    foretell add iris model.pkl --scaler scaler.pkl --example train.csv --convert onnx --trust-pickle

    foretell add churn model.py --example churn.csv --target churned --with weights.npy
    """
    if fault := name_fault(name):
        raise PackagingError(f"{name!r} cannot name a model: {fault}", hint="foretell add NAME FILE --example CSV")
    settings = Settings.load()
    repository = models or settings.models or Path("models")
    folder = repository / name / (version or next_version(repository / name))
    typed = {"example": example, "target": target, "version": version, "models": models, "scaler": scaler}
    named = {"convert": convert, "class-names": class_names, "declare": declare, "with": files, "metadata": metadata}
    flags = ["--keep-pickle"] if keep_pickle else []
    file = ModelFile(
        model, scaler, trust_pickle, keep_pickle, convert is not None, _command(name, model, {**typed, **named}, flags)
    )
    progress = Console(stderr=True)
    with progress.status("reading the model") if progress.is_terminal else nullcontext() as status:
        opened = file.opened(installed().recognise)
        rows = _example(example, target, declare)
        order = Order(
            format=convert or ("pickle" if keep_pickle else "auto"),
            files=files or [],
            class_names=None if class_names is None else [part.strip() for part in class_names.split(",")],
            metadata=_pairs(metadata or []),
            declare=_declared(declare or [], rows.sample.names) if isinstance(rows, Example) else {},
            libraries=opened.libraries,
        )
        told = _silent if status is None else status.update
        packaged = pack(opened.model, folder, rows, order, installed(), progress=told)
    _show(Console(), packaged, (*opened.notes, *packaged.notes), repository, settings)


def _example(path: Path, target: str | None, declare: Sequence[str] | None) -> Example | TensorExample:
    """The example from a CSV file, or from arrays. Raises PackagingError."""
    if path.suffix.lower() not in SUFFIXES:
        return Example(read_csv(path)).with_target(target)
    if target is not None or declare:
        raise PackagingError(
            f"{path.name} holds tensors, which have no columns",
            hint="leave out --target and --declare, or give a CSV file",
        )
    return TensorExample.read(path)


def _silent(_step: str) -> None:
    """Tells nobody."""


def _command(name: str, model: Path, options: Mapping[str, Any], flags: Sequence[str]) -> tuple[str, ...]:
    """The command again, as it was typed but for the order of its options."""
    line = ["foretell", "add", name, str(model)]
    for option, value in options.items():
        for each in value if isinstance(value, list) else [value]:
            line += [] if each is None else [f"--{option}", str(each)]
    return (*line, *flags)


def _pairs(metadata: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for given in metadata:
        key, equals, value = given.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"{given!r} is not KEY=VALUE", param_hint="--metadata")
        pairs[key.strip()] = value.strip()
    return pairs


def _declared(declare: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """``age.minimum=0`` by column; a column's own name may hold dots and equals signs, the key holds neither."""
    declared: dict[str, dict[str, Any]] = {}
    for given in declare:
        column = max((name for name in names if given.startswith(f"{name}.")), key=len, default=given.partition(".")[0])
        key, equals, value = given[len(column) + 1 :].partition("=")
        if not equals:
            raise typer.BadParameter(
                f"{given!r} is not COLUMN.KEY=VALUE, such as age.minimum=0", param_hint="--declare"
            )
        declared.setdefault(column, {})[key.strip()] = _value(value.strip())
    return declared


def _value(text: str) -> Any:
    """A TOML value where it is one (``0``, ``true``, ``["a", "b"]``), else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _show(console: Console, packaged: Packaged, notes: Sequence[str], repository: Path, settings: Settings) -> None:
    manifest = packaged.manifest
    console.print(
        f"[bold green]added[/] {escape(str(packaged.ref))}  [dim]{escape(str(packaged.path))}[/]", soft_wrap=True
    )
    console.print(signature_table(packaged.signature))
    console.print(answer_line(packaged.signature), highlight=False, soft_wrap=True)
    facts = (
        f"{packaged.checked_rows} example rows answered as by the model itself"
        if packaged.compared
        else f"{packaged.checked_rows} example rows answered"
    )
    kept = f"{len(manifest.golden)} kept as golden examples"
    console.print(f"{facts}, {kept}; {manifest.runtime}, {manifest.digest[:19]}", highlight=False, soft_wrap=True)
    for note in notes:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    lines = [f"foretell serve {shlex.quote(str(repository))}"]
    if manifest.golden:
        features = manifest.golden[0].features
        lines.append(curl_line(packaged.ref.model, features, port=settings.port, prefix=settings.prefix))
    console.print("\n[bold]Next[/]")
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
