"""Checks scikit-learn repeats on every call, answered once.

Validated rows reach an estimator that does not change any more, yet scikit-learn 1.9 spends three quarters of a small
prediction asking what cannot change: is this array a data frame, what are this estimator's tags, is it fitted, is every
value finite. Each shortcut gives the answer scikit-learn itself would give, for fitted estimators and plain arrays;
everything else goes the library's own way. docs/adr/0004-checks-once.md has the reasons and the figures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

REVIEWED = "1.9."
"""The scikit-learn releases whose source the shortcuts were read against; on others they stay off."""


def settle(estimator: Any) -> None:
    """Lets a fitted estimator answer for its tags and for being fitted from memory.

    Both hooks are scikit-learn's own developer API (``__sklearn_tags__``, ``__sklearn_is_fitted__``). What is not an
    estimator, or not fitted, is left alone.
    """
    from sklearn.base import BaseEstimator
    from sklearn.exceptions import NotFittedError
    from sklearn.utils import get_tags
    from sklearn.utils.validation import check_is_fitted

    if not isinstance(estimator, BaseEstimator) or not hasattr(estimator, "fit"):
        return
    tags = get_tags(estimator)
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return
    estimator.__sklearn_tags__ = lambda: tags
    estimator.__sklearn_is_fitted__ = lambda: True


def install() -> bool:
    """Puts the array shortcuts into scikit-learn's validation, once per process; whether they are in place."""
    import sklearn
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
    from sklearn.utils import parallel, validation

    if not sklearn.__version__.startswith(REVIEWED):
        return False
    if not hasattr(validation.check_array, "foretell_shortcut"):
        validation._nw_into_df_or_series = _unless_array(validation._nw_into_df_or_series, False)
        validation._get_feature_names = _unless_array(validation._get_feature_names, None)
        parallel.Parallel.__call__ = _in_turn(parallel.Parallel.__call__)
        _put_delayed(parallel.delayed, _delayed_by(parallel._FuncWrapper))
        validation.check_array = _checked_array(validation.check_array)
        by_class, value = DecisionTreeClassifier.predict_proba, DecisionTreeRegressor.predict
        DecisionTreeClassifier.predict_proba = _of_a_forest(by_class, lambda tree, found: found[:, : tree.n_classes_])
        DecisionTreeRegressor.predict = _of_a_forest(value, lambda _tree, found: found[:, 0])
    return True


def without_checks(call: Callable[[Any], Any], rows: Any) -> Any:
    """``call(rows)`` where the rows are known to be finite and the parameters valid.

    Holds in this thread and for this call only, so that a notebook's own fits keep their checks.
    """
    from sklearn._config import _get_threadlocal_config

    config = _get_threadlocal_config()
    before = config["assume_finite"], config["skip_parameter_validation"]
    config["assume_finite"] = config["skip_parameter_validation"] = True
    try:
        return call(rows)
    finally:
        config["assume_finite"], config["skip_parameter_validation"] = before


def _unless_array(original: Callable[[Any], Any], answer: Any) -> Callable[[Any], Any]:
    """What a question about data frames answers for a plain array, without asking."""

    @wraps(original)
    def ask(candidate: Any) -> Any:
        return answer if type(candidate) is np.ndarray else original(candidate)

    return ask


def _in_turn(original: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """``Parallel.__call__`` for one job: the parts of an ensemble, one after the other in the thread that asked.

    Configuration and warning filters hold there already. scikit-learn sets both anew for every single tree, which takes
    four fifths of a small forest's time and, since warning filters belong to the process, disturbs other threads.
    """

    @wraps(original)
    def run(parallel: Any, parts: Any) -> Any:
        if parallel.n_jobs == 1 and not parallel.verbose and not parallel.return_generator:
            return [part.function(*args, **options) for part, args, options in parts]
        return original(parallel, parts)

    return run


def _of_a_forest(original: Callable[..., Any], answer: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """What a tree of one output answers for rows that its forest has looked at, without asking whether it is fitted."""

    @wraps(original)
    def ask(tree: Any, rows: Any, check_input: bool = True) -> Any:
        known: Any = getattr(tree, "tree_", None)
        plain = not check_input and type(rows) is np.ndarray and known is not None and tree.n_outputs_ == 1
        if not plain or rows.shape[1] != tree.n_features_in_:
            return original(tree, rows, check_input)
        return answer(tree, known.predict(rows))

    return ask


def _delayed_by(wrapper: Any) -> Callable[[Any], Any]:
    """scikit-learn's ``delayed`` without the copies of name and documentation that it makes for every part."""

    def delayed(function: Any) -> Any:
        def ask(*args: Any, **options: Any) -> tuple[Any, Any, Any]:
            part = wrapper.__new__(wrapper)
            part.function = function
            return part, args, options

        return ask

    return delayed


def _put_delayed(original: Any, shortcut: Any) -> None:
    """Where scikit-learn's modules hold ``delayed``, and for those that are imported later."""
    for name, module in list(sys.modules.items()):
        if name.startswith("sklearn.") and getattr(module, "delayed", None) is original:
            module.delayed = shortcut  # type: ignore[attr-defined]  # a name of that module


def _checked_array(original: Callable[..., Any]) -> Callable[..., Any]:
    """``check_array`` for the rows we feed: a filled float64 matrix, wanted as it is, that may be taken as finite."""
    from sklearn._config import _get_threadlocal_config

    settled = {"dtype", "copy", "force_writeable", "ensure_all_finite", "accept_sparse", "input_name", "estimator"}

    @wraps(original)
    def check_array(array: Any, *args: Any, **options: Any) -> Any:
        if (
            type(array) is np.ndarray
            and array.dtype == np.float64
            and array.ndim == 2
            and array.size
            and not args
            and settled.issuperset(options)
            and _takes_float64(options.get("dtype", "numeric"))
            and (_get_threadlocal_config()["assume_finite"] or options.get("ensure_all_finite", True) is False)
        ):
            locked = options.get("force_writeable", False) and not array.flags.writeable
            return array.copy(order="K") if locked or options.get("copy", False) else array
        return original(array, *args, **options)

    check_array.foretell_shortcut = True  # type: ignore[attr-defined]
    return check_array


def _takes_float64(dtype: Any) -> bool:
    if isinstance(dtype, list | tuple):
        return np.float64 in dtype
    return dtype is None or dtype is np.float64 or (isinstance(dtype, str) and dtype == "numeric")
