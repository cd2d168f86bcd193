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
