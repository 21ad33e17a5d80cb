"""`portrange PORT`: what a port is, how this machine treats it, and who listens on it."""

from __future__ import annotations

from itertools import groupby

from .._answers.listener import alike, place, unit_text
from .._answers.port import PortInfo, port_page
from .._errors import PortrangeError
from .._lazy import import_lock
from .._questions.classify import classify
from .._questions.listen import listeners, who_listens
from .._render import text
from .._render.strings import visible
from .cmd_list import LISTENERS_IN_JSON
from .inputs import ports
from .options import ALL_NAMESPACES, EXHAUSTIVE, PORTS, protocol
from .output import COMMANDS, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .._answers.address import ProtocolName
    from .._answers.listener import Listener, Listeners, Process
    from .._host.host import Host
    from .inputs import Target
    from .options import Parsed

#: Characters of a command line on the page; --json has all of them.
_COMMAND_LINE = 200
_LAST = "Fixed use"


def _run(arguments: Parsed) -> Output:
    try:
        wanted = ports(arguments.ports)
    except ValueError as error:
        raise ValueError(f"{error}{_did_you_mean(arguments.ports)}") from None
    if not wanted:
        raise ValueError("no ports: name some, or - for standard input")
    shown = [_page(target, arguments) for target in wanted]
    return Output(
        "\n\n".join(page.text for page in shown),
        [page.data for page in shown],
        failure=next((page.failure for page in shown if page.failure is not None), None),
    )


def _did_you_mean(words: Sequence[str]) -> str:
    with import_lock:
        from difflib import get_close_matches

    for word in words:
        for match in get_close_matches(word.lower(), COMMANDS, 1):
            return f"; did you mean the command {match}?"
    return ""


def _page(target: Target, arguments: Parsed) -> Output:
    info = classify(target.first, host=arguments.host)
    found, failure = listening(
        target.first,
        arguments.host,
        protocol=target.protocol or arguments.protocol,
        exhaustive=arguments.exhaustive,
        everywhere=arguments.all_namespaces,
    )
    entries = port_page(info)
    verdict = entries.pop(_LAST)
    described_as = ["unknown"] if found is None else listener_lines(found) or ["nothing"]
    page = text.page(f"Port {info.number}", {**entries, "Listening": described_as, _LAST: verdict}, arguments.style)
    data = {"port": info.to_dict(), "listening": None if found is None else found.to_dict()}
    return Output(page, data, failure=failure)


def listening(
    number: int,
    host: Host,
    *,
    protocol: ProtocolName | None = None,
    exhaustive: bool = False,
    everywhere: bool = False,
) -> tuple[Listeners | None, PortrangeError | None]:
    """Return the listeners on a port, or the error: the rest of the output does not depend on it."""
    try:
        if everywhere:
            return listeners(protocol=protocol, exhaustive=exhaustive, namespaces="all", host=host).on(number), None
        return who_listens(number, protocol=protocol, exhaustive=exhaustive, host=host), None
    except PortrangeError as error:
        return None, error


def listener_lines(found: Listeners) -> list[str]:
    """Return one line for sockets that are alike, with the command lines of their owners below.

    Sockets of the same owners share the command lines.
    """
    lines: list[str] = []
    for owners, groups in groupby(alike(found), key=lambda group: group[0].owners):
        for listener, group in groups:
            lines += [_listener_line(listener, len(group)), *_full_queue(group)]
        lines += [*_stopped(owners), *_command_lines(owners)]
    lines += [f"incomplete: {reason}" for reason in found.incomplete]
    return lines


def _listener_line(listener: Listener, count: int) -> str:
    user = listener.user or listener.uid
    context = [unit_text(listener) or listener.container or "", "" if user is None else f"user {user}"]
    address = f"{listener.protocol} {place(listener, count)}"
    return ", ".join(filter(None, [f"{address}   {listener.holder}", *context]))


def _full_queue(listeners: Sequence[Listener]) -> Iterator[str]:
    """Yield a line if accept queues are full (sk_acceptq_is_full, include/net/sock.h): new connections are dropped."""
    full = [
        (listener.queued, listener.backlog)
        for listener in listeners
        if listener.queued is not None and listener.backlog is not None and listener.queued > listener.backlog
    ]
    if full:
        queued, backlog = max(full)
        sockets = f" of {len(full)} sockets" if len(listeners) > 1 else ""
        yield (
            f"  accept queue{sockets} full: {queued:,} connections wait to be accepted (backlog {backlog:,}), new ones "
            "are dropped"
        )


def _stopped(owners: Iterable[Process]) -> Iterator[str]:
    """Yield a line for owners that do not respond because they are stopped."""
    stopped = [owner for owner in owners if owner.stopped]
    if stopped:
        pids = " ".join(str(owner.pid) for owner in stopped)
        yield f"  stopped: {', '.join(map(str, stopped))} will not respond until continued (kill -CONT {pids})"


def _command_lines(owners: tuple[Process, ...]) -> list[str]:
    """Return the command lines of owners. Workers usually have the same one, shown once with all of their pids."""
    pids: dict[str, list[int]] = {}
    for owner in owners:
        if owner.cmdline:
            pids.setdefault(" ".join(owner.cmdline), []).append(owner.pid)
    return [
        f"  {', '.join(map(str, same))}: {text.shorten(visible(command[: _COMMAND_LINE + 1]), _COMMAND_LINE)}"
        for command, same in pids.items()
    ]


COMMAND = Command(
    (PORTS, protocol(), EXHAUSTIVE, ALL_NAMESPACES),
    _run,
    "an array in the order of the arguments; each entry is an object with the keys port and listening: port is "
    f"{described(PortInfo)}; listening is {LISTENERS_IN_JSON}.",
    [
        ("443", "all about port 443"),
        ("https :8080 127.0.0.1:5432", "several ports, as people write them"),
        ("443 --exhaustive", "with every process that owns its sockets"),
    ],
)
