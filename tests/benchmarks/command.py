"""The command line of the benchmarks that compare tools in a new network namespace."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace

from measuring import WrongAnswerError
from own_network import enter_own_network
from report import Report, place, update


def run(name: str, description: str, measure: Callable[[bool], Report]) -> int:
    """Write the report of ``measure(is_small)`` and return the exit status: 1 if a contender returns a wrong result.

    *name* is that of the benchmark and of its markers in a Markdown document.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--small", action="store_true", help="short run that tests the benchmark itself")
    parser.add_argument("--json", metavar="FILE", help="write all times in seconds to a file")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--update", metavar="FILE", help="replace the table in a Markdown document")
    arguments = parser.parse_args()
    if arguments.update:
        place(arguments.update, name)  # fail before the long run if the markers are missing
    try:
        enter_own_network()
    except OSError as error:
        print(f"{name}: {error}; run it as root", file=sys.stderr)
        return 1
    try:
        report = measure(arguments.small)
    except WrongAnswerError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments.small:
        remark = "A small run, which tests the benchmark itself; its times are not meaningful."
        report = replace(report, notes=[*report.notes, remark], judged=False)
    print(report.markdown() if arguments.markdown else report.text())
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(report.to_dict(), file, indent=1)
    if arguments.update:
        update(arguments.update, name, report.markdown())
    return 0
