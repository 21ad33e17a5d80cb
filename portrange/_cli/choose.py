"""Which command a command line asks for."""

from __future__ import annotations

from collections.abc import Sequence

from .commands import COMMANDS, LIST, PAGE
from .output import Command

#: Options that are followed by a value, which is then no port.
_WITH_VALUE = ("--protocol", "--procfs", "--avoid", "--accept", "--address", "--family")


def choose(arguments: Sequence[str]) -> tuple[str, Command, list[str]]:
    """The name of the command that is asked for, the command, and the arguments that are left for it."""
    befores = ["", *arguments]
    for index, (before, word) in enumerate(zip(befores, arguments, strict=False)):
        if word in COMMANDS and before not in _WITH_VALUE:
            return f"portrange {word}", COMMANDS[word], [*arguments[:index], *arguments[index + 1 :]]
    if any(_looks_like_a_port(word, before) for before, word in zip(befores, arguments, strict=False)):
        return "portrange", PAGE, list(arguments)
    return "portrange", LIST, list(arguments)


def _looks_like_a_port(word: str, before: str) -> bool:
    return before not in _WITH_VALUE and (not word.startswith("-") or word[1:2].isdigit())
