"""The terminal front: the public calls as commands, each with readable output or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .._errors import InvalidPortError, PortrangeError
from .._host import Host
from . import terminal
from .choose import choose
from .output import BAD_INPUT, INTERRUPTED, NO_ANSWER
from .parser import parser_for


def main(arguments: Sequence[str], version: str) -> int:
    """Answer one command line; the exit status is returned."""
    name, command, rest = choose(arguments)
    parsed = parser_for(name, command, version).parse_args(rest)
    parsed.host = Host(parsed.procfs)
    parsed.look = terminal.look()
    try:
        output = command.run(parsed)
    except InvalidPortError as error:
        return terminal.complain(name, error, BAD_INPUT)
    except PortrangeError as error:
        return terminal.complain(name, error, NO_ANSWER)
    except (TypeError, ValueError) as error:
        return terminal.complain(name, error, BAD_INPUT)
    except KeyboardInterrupt:
        return INTERRUPTED
    status = terminal.show(name, json.dumps(output.data, indent=2) if parsed.json else output.text, output.status)
    for remark in () if parsed.json else output.remarks:
        terminal.complain(name, remark, status)
    return status if output.failure is None else terminal.complain(name, output.failure, NO_ANSWER)
