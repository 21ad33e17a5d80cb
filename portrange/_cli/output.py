"""What a command is, and what it has to say."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import NamedTuple

from .._answers.record import Record
from .._errors import PortrangeError

#: Exit statuses; 1 is an answer ("not safe", "busy"), the others are failures.
OK, NO, BAD_INPUT, NO_ANSWER = range(4)
#: What a shell reports of a program that was ended from the keyboard: 128 and the number of SIGINT.
INTERRUPTED = 130


class Output(NamedTuple):
    """What a command has to say: for people, for programs (`--json`), and as an exit status.

    `remarks` are for people alone, and go to the error stream: what programs read is not to be mixed with them.
    `failure` is why a part of it is unknown: that is said on the error stream, and in the exit status.
    """

    text: str
    data: object
    status: int = OK
    remarks: Sequence[str] = ()
    failure: PortrangeError | None = None


class Command(NamedTuple):
    """One command.

    - `summary`: what it answers, in a few words.
    - `add_arguments`: adds the arguments it takes beyond the common ones.
    - `run`: answers. It is given the parsed arguments, the `host` to ask and the `look` that text should have.
    - `json`: what `--json` prints, for the help.
    - `examples`: command lines without the name of the program, each with what it does.
    """

    summary: str
    add_arguments: Callable[[ArgumentParser], object]
    run: Callable[[Namespace], Output]
    json: str
    examples: Sequence[tuple[str, str]] = ()


def described(kind: type[Record]) -> str:
    """What JSON has of an answer, in words."""
    return f"an object with the keys {', '.join(kind.columns())}"
