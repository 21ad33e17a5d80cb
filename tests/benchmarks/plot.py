"""Plot the recorded table: the time of each contender for each query, on a logarithmic axis.

    pip install --group plots -e .
    python tests/benchmarks/bench_listen.py --update docs/benchmarks.md
    python tests/benchmarks/plot.py docs/benchmarks.md docs/benchmarks.svg

The colours suit light and dark backgrounds, and the output is reproducible.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

#: In the order of the bars; portrange first.
_COLOURS = {
    "portrange": "#d7263d",
    "C floor": "#7a7f87",
    "ss": "#3b82c4",
    "lsof": "#2e8b57",
    "psutil": "#b8860b",
    "portsight": "#8a5fbf",
}
_GREY = "#7a7f87"
_BAR = 0.15


_BEGIN, _END = "<!-- bench_listen: begin -->", "<!-- bench_listen: end -->"
_TIME = re.compile(r"([\d.,]+) (µs|ms|s)\b")
_MILLISECONDS = {"µs": 0.001, "ms": 1.0, "s": 1000.0}


def read(page: str) -> dict[str, dict[str, float]]:
    """Return the times in milliseconds by query and contender, for the queries that ss supports, too."""
    table = page.partition(_BEGIN)[2].partition(_END)[0]
    lines = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    headers = [header.strip() for header in lines[0]]
    rows: dict[str, dict[str, float]] = {}
    for line in lines[2:]:
        cells = dict(zip(headers, line, strict=True))
        times = {name: _TIME.search(cells.get(name, "")) for name in _COLOURS}
        known = {name: float(time[1].replace(",", "")) * _MILLISECONDS[time[2]] for name, time in times.items() if time}
        if "ss" in known:
            rows[cells["query"].strip()] = known
    return rows


def draw(rows: dict[str, dict[str, float]]) -> Figure:
    """Draw a group of bars for each query."""
    figure = Figure(figsize=(9, 1 + 0.95 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, times in enumerate(rows.values()):
        for index, (name, milliseconds) in enumerate(times.items()):
            height = place + (index - (len(times) - 1) / 2) * _BAR
            axes.barh(height, milliseconds, _BAR, color=_COLOURS[name])
            axes.text(
                milliseconds * 1.1,
                height,
                f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}",
                va="center",
                fontsize=7,
                color=_GREY,
            )
    axes.set_xscale("log")
    axes.set_xlim(left=min(times["portrange"] for times in rows.values()) / 2)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel("median of one answer, in milliseconds (logarithmic)")
    axes.tick_params(colors=_GREY)
    axes.xaxis.label.set_color(_GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    handles = {name: mpl.patches.Patch(color=colour) for name, colour in _COLOURS.items()}
    shown = [name for name in handles if any(name in times for times in rows.values())]
    figure.legend(
        [handles[name] for name in shown],
        shown,
        loc="outside upper center",
        ncols=len(shown),
        frameon=False,
        labelcolor=_GREY,
        fontsize=8,
    )
    return figure


def main(source: str, target: str) -> int:
    rows = read(Path(source).read_text(encoding="utf-8"))
    # Without these settings the file contains the time and random names.
    with mpl.rc_context({"svg.hashsalt": "portrange", "svg.fonttype": "none"}):
        draw(rows).savefig(target, transparent=True, metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
