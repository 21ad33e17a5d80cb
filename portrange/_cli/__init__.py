"""The command line: one module a command, each with readable output and JSON."""

from __future__ import annotations

import os

from .._errors import InvalidPortError, PortrangeError
from .._lazy import import_lock
from . import output
from .inputs import STDIN, is_range
from .options import WITH_VALUE, plain
from .output import COMMANDS, PROGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .._host.host import Host
    from . import cmd_answers, cmd_busy, cmd_check, cmd_list, cmd_range, cmd_show, cmd_suggest, cmd_usage, cmd_wait
    from .options import Parsed
    from .output import Command

    # PyInstaller finds modules by import statements; `load` imports these by their names.
    _BY_NAME = (cmd_answers, cmd_busy, cmd_check, cmd_list, cmd_range, cmd_show, cmd_suggest, cmd_usage, cmd_wait)


def run(arguments: Sequence[str], version: str) -> int:
    """Run a command line and return the exit status. Only the module of the requested command is imported."""
    name, word, rest = choose(arguments)
    command = output.load(word)
    parsed = plain(command.arguments, rest)
    if parsed is None:
        with import_lock:
            from .parser import parse

        parsed = parse(name, word, rest, version)
    return _answer(name, command, parsed)


def _answer(name: str, command: Command, parsed: Parsed) -> int:
    """Run a command, print its output, and return the exit status."""
    parsed.style = output.terminal_style(parsed.color)
    try:
        parsed.host = _host(parsed.procfs)
        result = command.run(parsed)
    except InvalidPortError as error:
        return output.complain(name, error, output.BAD_INPUT)
    except PortrangeError as error:
        return output.complain(name, error, output.NO_ANSWER)
    except (TypeError, ValueError) as error:
        return output.complain(name, error, output.BAD_INPUT)
    except KeyboardInterrupt:
        return output.INTERRUPTED
    status = output.show(name, output.as_json(result.data) if parsed.json else result.text, result.status)
    for remark in () if parsed.json else result.remarks:
        output.complain(name, remark, status)
    return status if result.failure is None else output.complain(name, result.failure, output.NO_ANSWER)


def _host(procfs: str) -> Host:
    with import_lock:
        from .._host.host import Host

    # For a path that was mistyped, results would be the documented defaults.
    if procfs != "/proc" and not os.path.isdir(procfs):
        raise ValueError(f"--procfs: {procfs!r} is not a directory: where is procfs mounted?")
    return Host(procfs)


def choose(arguments: Sequence[str]) -> tuple[str, str, list[str]]:
    """Return the name for messages, the command, and its arguments.

    The command is the first argument that is neither an option nor the value of one. Without a command, ports are shown
    (`show`), and ranges of ports, or everything, are listed (`list`).
    """
    positions = list(_positions(arguments))
    first = arguments[positions[0]] if positions else ""
    if first in COMMANDS:
        return f"{PROGRAM} {first}", first, [*arguments[: positions[0]], *arguments[positions[0] + 1 :]]
    if first == "help":
        word = arguments[positions[1]] if len(positions) > 1 else ""
        if word in COMMANDS:
            return choose([word, "-h"])
        # Another word is read as a port: the message names a similar command.
        return choose([word] if word else ["-h"])
    word = "show" if positions and not any(is_range(arguments[index]) for index in positions) else "list"
    return PROGRAM, word, list(arguments)


def _positions(arguments: Sequence[str]) -> Iterator[int]:
    """Yield the indexes of the arguments that are neither options nor values of options."""
    before = ""
    for index, argument in enumerate(arguments):
        is_option = argument.startswith("-") and argument != STDIN and not argument[1:2].isdigit()
        if not is_option and before not in WITH_VALUE:
            yield index
        before = argument
