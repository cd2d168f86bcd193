"""The pictures for the documentation: the singles, overload, and other model servers."""

from __future__ import annotations

from collections.abc import Mapping
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

OURS = "foretell"
PEER_PANELS = (
    ("single/c64", "per_s", "requests a second at 64 connections, logarithmic"),
    ("batch1000x4/c4", "per_s", "rows a second, 1,000 a request, logarithmic"),
    ("memory", "memory_mib", "MiB of memory (less is better)"),
)


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


def draw_peers(results: Results, titles: Mapping[str, str], target: Path) -> bool:
    """Foretell beside other servers: requests, rows and memory. False, and nothing written, where it is alone."""
    servers = [name for name in titles if f"{name}/memory" in results]
    if OURS not in servers or len(servers) < 2:
        return False
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "foretell", "svg.fonttype": "none", "font.size": 10})
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(12.5, 3.4), sharey=True, layout="constrained")
    names = [titles[server].strip("*") for server in servers]
    colours = ["#1f5fd6" if server == OURS else "#9aa5b1" for server in servers]
    for axes, (case, name, title) in zip(panels, PEER_PANELS, strict=True):
        values = [results[f"{server}/{case}"][name] for server in servers]
        bars = axes.barh(names, values, color=colours)
        axes.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3)
        axes.set_title(title, fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.25)
    for axes in panels[:2]:
        axes.set_xscale("log")
    panels[0].invert_yaxis()
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, metadata={"Date": None})
    plt.close(figure)
    return True
