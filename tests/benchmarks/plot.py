"""A picture of a recorded run: how long each contender takes for each question, on a logarithmic axis.

    pip install -e '.[plots]'
    python tests/benchmarks/bench_listen.py --json docs/benchmarks.json
    python tests/benchmarks/plot.py docs/benchmarks.json docs/benchmarks.svg

The colours stand out from white and from black, and the file is the same for the same recording.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

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


def draw(recorded: dict[str, Any]) -> Figure:
    """Groups of bars, a group for each question that several contenders answer."""
    rows = [row for row in recorded["rows"] if set(row["medians"]) & {"ss", "psutil"}]
    figure = Figure(figsize=(9, 1 + 0.95 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in enumerate(rows):
        present = [name for name in _COLOURS if name in row["medians"]]
        for index, name in enumerate(present):
            height = place + (index - (len(present) - 1) / 2) * _BAR
            milliseconds = row["medians"][name] * 1000
            axes.barh(height, milliseconds, _BAR, color=_COLOURS[name], label=name if place == 0 else None)
            axes.text(milliseconds * 1.1, height, f"{milliseconds:.3g}", va="center", fontsize=7, color=_GREY)
    axes.set_xscale("log")
    axes.set_xlim(left=min(row["medians"]["portrange"] for row in rows) * 500)  # half of the shortest bar
    axes.set_yticks(range(len(rows)), [row["question"] for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("median of one answer, in milliseconds (logarithmic)")
    axes.tick_params(colors=_GREY)
    axes.xaxis.label.set_color(_GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GREY)
    handles = {name: mpl.patches.Patch(color=colour) for name, colour in _COLOURS.items()}
    shown = [name for name in handles if any(name in row["medians"] for row in rows)]
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
    recorded = json.loads(Path(source).read_text(encoding="utf-8"))
    # Without these the file would have the time and random names in it.
    with mpl.rc_context({"svg.hashsalt": "portrange", "svg.fonttype": "none"}):
        draw(recorded).savefig(target, transparent=True, metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
