"""Class names, and whether the labels of the example agree with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from foretell.core.signature import Output
from foretell.core.values import Outputs, display_names
from foretell.errors import PackagingError


def with_class_names(output: Output, names: Sequence[str] | Mapping[Any, str] | None) -> Output:
    """The output with the author's class names. Raises PackagingError where they do not fit the classes."""
    if names is None:
        return output
    if output.kind != "classification" or output.several or output.classes is None:
        what = "a regressor" if output.kind == "regression" else "a model whose classes are not known"
        raise PackagingError(f"class names were given for {what}", hint="leave class_names out")
    classes = output.classes
    if isinstance(names, Mapping):
        missing = [label for label in classes if label not in names]
        if missing:
            raise PackagingError(
                f"class_names has no name for the class {missing[0]!r}; the classes are {_listed(classes)}"
            )
        names = [names[label] for label in classes]
    texts = tuple(str(name) for name in names)
    if len(texts) != len(classes):
        raise PackagingError(
            f"the model has {len(classes)} classes ({_listed(classes)}), and {len(texts)} class names were given",
            hint="give one name for each class, in the order of the classes",
        )
    if len(set(texts)) < len(texts):
        raise PackagingError(f"class_names names a class twice: {_listed(texts)}")
    return replace(output, class_names=texts)


def check_labels(known: Sequence[Any] | None, labels: Sequence[Any] | None, outputs: Outputs) -> tuple[str, ...]:
    """Notes on how the target column of the example agrees with what is predicted.

    ``known`` are all labels of the example, ``labels`` those of the rows that were predicted. Raises PackagingError
    where the column holds labels that are neither classes nor class names of the model.
    """
    output = outputs.output
    if known is None or labels is None or output.kind != "classification" or output.classes is None or output.several:
        return ()
    present = {label for label in known if label is not None}
    names = display_names(output) or ()
    if present <= set(output.classes):
        predicted: list[Any] = outputs.listed.predictions
    elif present <= set(names):
        predicted = [str(name) for name in outputs.listed.class_names or ()]
    else:
        strange = sorted((label for label in present if label not in output.classes and label not in names), key=str)
        known_classes = _listed(names or output.classes)
        raise PackagingError(
            f"the target column holds {_listed(strange)}, but the model's classes are {known_classes}",
            hint=_names_hint(outputs, labels) or "is this the column the model was trained to predict?",
        )
    agree = sum(guess == label for guess, label in zip(predicted, labels, strict=True))
    note = f"{agree} of {len(labels)} example rows are predicted as the target column says"
    better = _names_hint(outputs, labels) if names and agree * 2 < len(labels) else None
    return (f"{note}; are the class names in the wrong order? {better}" if better else note,)


def _names_hint(outputs: Outputs, labels: Sequence[Any]) -> str | None:
    """The class names that the labels suggest, where each class was predicted mostly for one label of its own."""
    votes: dict[Any, Counter[Any]] = {}
    for guess, label in zip(outputs.listed.predictions, labels, strict=True):
        votes.setdefault(guess, Counter())[label] += 1
    classes = outputs.output.classes or ()
    if set(votes) != set(classes):
        return None
    named = [votes[label].most_common(1)[0][0] for label in classes]
    if len(set(named)) < len(named) or None in named:
        return None
    return f"the rows suggest the class names {','.join(map(str, named))} (--class-names)"


def _listed(labels: Sequence[Any]) -> str:
    return ", ".join(repr(label) for label in labels[:10]) + (", ..." if len(labels) > 10 else "")
