"""The picture for the documentation: requests a second and p99 at 64 connections on one core."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench import Results

BARS = {
    "tutorial app, iris": ("single/tutorial/iris/c64", "#9aa5b1"),
    "Foretell under plain uvicorn, iris": ("single/ordinary/iris-v1/c64", "#5b8def"),
    "empty ASGI application": ("single/empty/c64", "#9aa5b1"),
    "Foretell, iris v1 (scikit-learn)": ("single/lane/iris-v1/c64", "#1f5fd6"),
    "Foretell, iris v2 (ONNX)": ("single/lane/iris-v2/c64", "#1f5fd6"),
    "tutorial app, forest of 100 trees": ("single/tutorial/forest/c64", "#9aa5b1"),
    "Foretell, forest of 100 trees": ("single/lane/forest/c64", "#1f5fd6"),
}


def draw_overload(results: Results, target: Path) -> bool:
    """Offered load against goodput and p99, as SVG. False, and nothing written, where it was not measured."""
    points = sorted(
        (row["offered_per_s"], row["per_s"], row["p99_ms"], row["refused_ms"])
        for case, row in results.items()
        if case.startswith("overload/x")
    )
    if len(points) < 3:
        return False
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "foretell", "svg.fonttype": "none", "font.size": 10})
    import matplotlib.pyplot as plt

    figure, (rate, tail) = plt.subplots(1, 2, figsize=(10.5, 3.4), layout="constrained")
    offered, goodput, p99, refused = zip(*points, strict=True)
    rate.plot(offered, goodput, marker="o", color="#1f5fd6")
    rate.plot(offered, offered, linestyle=":", color="#9aa5b1")
    rate.set_ylim(0, 1.3 * max(goodput))
    rate.set_title("answered in time, a second (dotted: all that was offered)", fontsize=10, loc="left")
    tail.plot(offered, p99, marker="o", color="#1f5fd6", label="p99 of answers")
    tail.plot(offered, refused, marker="o", color="#9aa5b1", label="median of refusals")
    tail.set_yscale("symlog", linthresh=1)
    tail.set_title("milliseconds, from when a request was due", fontsize=10, loc="left")
    tail.legend(frameon=False)
    for axes in (rate, tail):
        axes.set_xlabel("offered, requests a second")
        axes.spines[["top", "right"]].set_visible(False)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
    return True


def draw(results: Results, target: Path) -> bool:
    """Writes the picture as SVG. False, and nothing written, where the run did not measure all of it."""
    if any(case not in results for case, _ in BARS.values()):
        return False
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "foretell", "svg.fonttype": "none", "font.size": 10})
    import matplotlib.pyplot as plt

    figure, (rate, tail) = plt.subplots(1, 2, figsize=(10.5, 3.4), sharey=True, layout="constrained")
    names, colours = list(BARS), [colour for _, colour in BARS.values()]
    for axes, name, title, shown in (
        (rate, "per_s", "requests a second, one core (more is better)", "{:,.0f}"),
        (tail, "p99_ms", "p99 in milliseconds, logarithmic (less is better)", "{:.1f}"),
    ):
        values = [results[case][name] for case, _ in BARS.values()]
        bars = axes.barh(names, values, color=colours)
        axes.bar_label(bars, [shown.format(value) for value in values], padding=3)
        axes.set_title(title, fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
    tail.set_xscale("log")
    for axes in (rate, tail):
        axes.margins(x=0.18)
    rate.invert_yaxis()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
    return True
