"""The command line: one module a command, each with readable output and JSON."""

from __future__ import annotations

from .._errors import InvalidPortError, PortrangeError
from .._lazy import import_lock
from . import output
from .output import COMMANDS, LIST, PAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .output import Command

#: Options that take a value; the next argument is neither a command nor a port.
_WITH_VALUE = ("--protocol", "--procfs", "--avoid", "--accept", "--target", "--from", "--address", "--family")


def run(arguments: Sequence[str], version: str) -> int:
    """Run a command line and return the exit status. Only the module of the requested command is imported."""
    name, command, rest = choose(arguments)
    with import_lock:
        from .._host.host import Host
        from .options import parser_for

    parsed = parser_for(name, command, version).parse_args(rest)
    parsed.host = Host(parsed.procfs)
    parsed.style = output.terminal_style()
    try:
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


def choose(arguments: Sequence[str]) -> tuple[str, Command, list[str]]:
    """Return the full name of the requested command, the command, and the remaining arguments."""
    previous = ["", *arguments]
    pairs = list(zip(previous, arguments, strict=False))
    for index, (before, argument) in enumerate(pairs):
        if argument in COMMANDS and before not in _WITH_VALUE:
            rest = [*arguments[:index], *arguments[index + 1 :]]
            return f"portrange {argument}", _load(COMMANDS[argument][0]), rest
    is_page = any(_looks_like_a_port(argument, before) for before, argument in pairs)
    return "portrange", _load(PAGE[0] if is_page else LIST[0]), list(arguments)


def _looks_like_a_port(argument: str, before: str) -> bool:
    return before not in _WITH_VALUE and (not argument.startswith("-") or argument[1:2].isdigit())


def _load(module: str) -> Command:
    with import_lock:
        from importlib import import_module

        command: Command = import_module(f".{module}", __name__).COMMAND
    return command
