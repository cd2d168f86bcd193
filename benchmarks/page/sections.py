"""What `make bench` measured, section by section; empty where it was not measured."""

from __future__ import annotations

from benchmarks.floors import FLOORS
from benchmarks.page.table import figure, listed, table
from benchmarks.record import Record
from benchmarks.scenarios import SCENARIOS

SINGLES = {
    "empty ASGI application": "single/empty",
    "tutorial app, iris": "single/tutorial/iris",
    "**iris v1** (scikit-learn), lane": "single/lane/iris-v1",
    "**iris v2** (ONNX), lane": "single/lane/iris-v2",
    "iris v1, plain `uvicorn foretell.asgi:app`": "single/ordinary/iris-v1",
    "tutorial app, forest of 100 trees": "single/tutorial/forest",
    "**breast-cancer** (the same forest), lane": "single/lane/forest",
}
MODES = {
    "iris v1 in the loop": "hosted/iris/direct/c64",
    "iris v1 hosted": "hosted/iris/hosted/c64",
    "forest in the loop": "hosted/forest/direct/c64",
    "forest hosted": "hosted/forest/hosted/c64",
    "forest hosted, one call for each request": "hosted/forest/one-call-each/c64",
    "forest, remembered (`cache`)": "cache/remembered/forest/c64",
    "forest, computed, in the same run as remembered": "cache/computed/forest/c64",
}
BATCHES = {
    "**lane**": "batch/lane",
    "plain `uvicorn foretell.asgi:app`": "batch/ordinary",
    "tutorial app": "batch/tutorial",
}
COLUMNAR = {
    "the model in a loop, no server": "columnar/model-loop/10000x30",
    "NPY over HTTP": "columnar/npy/10000x30",
    "Arrow over HTTP": "columnar/arrow/10000x30",
    "JSON over HTTP": "columnar/json/10000x30",
}
SIZED = {"wide": "logistic regression", "boosted": "XGBoost, 100 trees", "breast-cancer": "forest of 100 trees"}
LARGE = {"plain": "right ones", "wrong": "a fault in every row", "nested": "brackets only"}
WAITING = {
    "empty ASGI application": "memory/empty",
    "tutorial app": "memory/tutorial",
    "Foretell, iris alone": "memory/foretell iris",
    "Foretell, all examples": "memory/foretell examples",
}
HEADLINE = {
    "iris v1, scikit-learn": ("iris-v1", "iris"),
    "iris v2, ONNX": ("iris-v2", "iris"),
    "breast-cancer, a forest of 100 trees": ("forest", "forest"),
}


def run(record: Record) -> str:
    """The machine, and which scenarios were measured when and how."""
    machine = record.machine
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    together: dict[str, list[str]] = {}
    for name in record.runs:
        together.setdefault(ways(record, name), []).append(f"`{name}`")
    lines = [
        f"On {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}, "
        f"Python {machine['python']}; {libraries}.",
        "",
        *(f"- {how}: {listed(names)}" for how, names in together.items()),
    ]
    if missing := [f"`{name}`" for name in SCENARIOS if name not in record.runs]:
        lines.append(f"- not measured: {listed(missing)}")
    return "\n".join(lines)


def ways(record: Record, name: str) -> str:
    how = record.runs[name]
    rounds = "one round" if how.rounds == 1 else f"{how.rounds} rounds"
    return f"{how.measured_at[:10]}, {rounds} of {how.seconds} s"


def singles(record: Record) -> str:
    rows = [
        [
            name,
            *(figure(record, f"{case}/c{count}", "per_s") for count in (1, 16, 64)),
            figure(record, f"{case}/c64", "p99_ms", "{:.1f}"),
        ]
        for name, case in SINGLES.items()
        if f"{case}/c64" in record.medians
    ]
    head = ["one row a request", "1 connection, req/s", "16", "64", "p99 ms at 64"]
    return table(head, rows) if rows else ""


def modes(record: Record) -> str:
    rows = [
        [name, figure(record, case, "per_s"), figure(record, case, "p99_ms", "{:.1f}")]
        for name, case in MODES.items()
        if case in record.medians
    ]
    return table(["one row a request, 64 connections", "req/s", "p99 ms"], rows) if rows else ""


def batches(record: Record) -> str:
    rows = [
        [name, *(figure(record, f"{case}/{shape}/c4", "per_s") for shape in ("1000x4", "1000x30"))]
        for name, case in BATCHES.items()
        if f"{case}/1000x4/c4" in record.medians
    ]
    if not rows:
        return ""
    loop = [figure(record, f"batch/plain-loop/{shape}", "per_s") for shape in ("1000x4", "1000x30")]
    return table(
        ["1,000 rows a request, 4 connections", "4 columns, rows/s", "30 columns, rows/s"],
        [*rows, ["plain loop, no server", *loop]],
    )


def sizes(record: Record) -> str:
    counts = (1, 10, 100, 1000)
    rows = [
        [f"{title}: {who}", *(figure(record, f"sizes/{way}/{model}/{count}", "per_s") for count in counts)]
        for model, title in SIZED.items()
        for way, who in (("lane", "**Foretell**"), ("tutorial", "tutorial app"))
        if f"sizes/{way}/{model}/1000" in record.medians
    ]
    return table(["8 connections, rows/s", *(f"{count:,} a request" for count in counts)], rows) if rows else ""


def columnar(record: Record) -> str:
    rows = [[name, figure(record, case, "per_s")] for name, case in COLUMNAR.items() if case in record.medians]
    return table(["10,000 × 30 to the forest", "rows/s"], rows) if rows else ""


def large(record: Record) -> str:
    rows = [
        [name, *(figure(record, f"large/{kind}", column, "{:.1f}") for column in ("p50_ms", "p99_ms", "max_ms"))]
        for kind, name in LARGE.items()
        if f"large/{kind}" in record.medians
    ]
    return table(["beside bodies of 8 MB", "others wait, p50 ms", "p99 ms", "longest ms"], rows) if rows else ""


def overload(record: Record) -> str:
    flood, after = record.medians.get("overload/x5"), record.medians.get("overload/after")
    if flood is None or after is None:
        return ""
    best = max(row["per_s"] for case, row in record.medians.items() if case.startswith("overload/x"))
    before = record.medians["overload/x0.5"]["p50_ms"]
    return (
        "![Offered load against goodput and the 99th percentile](../assets/overload.svg)\n\n"
        f"Offered {flood['offered_per_s']:,.0f} a second it answered {flood['per_s']:,.0f} in time, of {best:,.0f} at "
        f"its best, and refused the rest in {flood['refused_ms']:.1f} ms at the median; five seconds after a minute of "
        f"that its median was {after['p50_ms']:.1f} ms, {before:.1f} before."
    )


def bulk(record: Record) -> str:
    rows = [
        [name, figure(record, case, "per_s"), figure(record, case, column)]
        for name, case, column in (
            ("`foretell score`, CSV of 5 million rows", "score/foretell", "memory_mib"),
            ("a loop of pyarrow and the model, as many processes", "score/plain-loop", "memory_mib"),
            ("`/predict/stream`, a million rows of CSV", "stream/csv", "growth_mib"),
            ("`/predict/stream`, a million rows of NDJSON", "stream/ndjson", "growth_mib"),
        )
        if case in record.medians
    ]
    head = ["bulk", "rows/s", "MiB: of the largest process, or what the server grew by"]
    return table(head, rows) if rows else ""


def waiting(record: Record) -> str:
    rows = [[name, figure(record, case, "memory_mib")] for name, case in WAITING.items() if case in record.medians]
    if not rows:
        return ""
    ours, bare = (figure(record, f"start/{name}", "start_s", "{:.2f}") for name in ("foretell", "imports"))
    said = f"\n\nFrom the command to the first prediction: {ours} s; {bare} s take the bare imports." if ours else ""
    return table(["servers that wait", "MiB"], rows) + said


def floors(record: Record) -> str:
    rows = []
    for floor in FLOORS:
        value = floor.measure(record.medians)
        if value is not None:
            verdict = "" if floor.met(value) else " (short)"
            shown = f"{value:.2f}" if value >= 0.01 else f"{value:.3f}"
            rows.append([floor.name, f"{floor.sense} {floor.bound:g}", shown + verdict])
    return table(["floor", "wanted", "measured"], rows) if rows else ""


def headline(record: Record) -> str:
    rows = []
    for name, (ours, model) in HEADLINE.items():
        cases = [f"single/{case}/c64" for case in (f"lane/{ours}", "empty", f"tutorial/{model}")]
        if all(case in record.medians for case in cases):
            rate, empty, tutorial = (record.medians[case]["per_s"] for case in cases)
            rows.append([name, f"{rate / empty:.2f} ×", f"{rate / tutorial:.0f} ×"])
    head = ["one row a request, 64 connections", "of the empty ASGI application", "of the tutorial app"]
    return table(head, rows) if rows else ""
