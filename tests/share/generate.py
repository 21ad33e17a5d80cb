"""Write the files in share/: the manual page and shell completion, from the tables of the command line.

    python tests/share/generate.py

Completion is written by shtab, the manual page by this program.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import shtab

import portrange
from portrange._cli import manual
from portrange._cli.output import COMMANDS, PROGRAM
from portrange._cli.parser import parser_of

SHARE = Path(__file__).resolve().parents[2] / "share"
#: Options whose value is a file or a directory.
PATHS = {"files": shtab.FILE, "procfs": shtab.DIRECTORY}
SHELLS = {
    "bash": "bash-completion/completions/portrange",
    "zsh": "zsh/site-functions/_portrange",
    "fish": "fish/vendor_completions.d/portrange.fish",
}
MANUAL_PAGE = "man/man1/portrange.1"


def completion(shell: str) -> str:
    """Return the completion of the command in a shell."""
    parser = parser_of(version=portrange.__version__)
    for action in actions(parser):
        if action.dest in PATHS:
            action.complete = PATHS[action.dest]
        # Messages of shtab's zsh functions end at a colon.
        action.help = (action.help or "").replace(":", "")
    return "\n".join(line.rstrip() for line in shtab.complete(parser, shell).splitlines()) + "\n"


def actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the actions of a parser and its subparsers."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from actions(subparser)


# --- the manual page, in the macros of man(7) -----------------------------------------------------------------------


def manual_page() -> str:
    sections = {section.heading: section.entries for section in manual.sections_of("")}
    lines = [
        f'.TH PORTRANGE 1 "" "{PROGRAM} {portrange.__version__}" "User Commands"',
        ".SH NAME",
        escaped(f"{PROGRAM} - {manual.SUMMARY}"),
        ".SH SYNOPSIS",
        *entries(sections.pop("USAGE")),
    ]
    for heading, content in sections.items():
        lines += [f".SH {heading}", *entries(content)]
        if heading == "COMMANDS":
            lines += commands()
    return "\n".join(lines) + "\n"


def commands() -> Iterator[str]:
    """Yield a subsection for each command."""
    for name in COMMANDS:
        yield f".SS {PROGRAM} {name}"
        for section in manual.sections_of(name):
            if section.heading in ("USAGE", "ARGUMENTS", "NOTES", "EXAMPLES"):
                yield from entries(section.entries)
            elif section.heading == "OPTIONS":
                yield from entries(section.entries[: -len(manual.common_options())])


def entries(content: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield labels, each with its text; a text without a label is a paragraph."""
    for label, text in content:
        yield from [".TP", f".B {escaped(label)}"] if label else [".PP"]
        if text:
            yield escaped(text)


def escaped(text: str) -> str:
    """Return text in which nothing is a request or an escape of roff(7)."""
    shown = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{shown}" if shown.startswith((".", "'")) else shown


def files() -> dict[str, str]:
    """Return the contents of the files by their path in share/."""
    return {**{path: completion(shell) for shell, path in SHELLS.items()}, MANUAL_PAGE: manual_page()}


if __name__ == "__main__":
    for path, content in files().items():
        (SHARE / path).parent.mkdir(parents=True, exist_ok=True)
        (SHARE / path).write_text(content, encoding="utf-8")
