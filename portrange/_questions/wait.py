"""Wait until a process listens."""

from __future__ import annotations

from .._answers.listener import Listeners
from .._answers.span import port_number
from .._backends.base import SocketQuery
from .._backends.select import backend_for
from .._errors import InvalidPortError, NotListeningError, PortrangeError
from .._frozen import replace
from .._host.host import system_of
from .._lazy import import_lock
from .._render.strings import joined, visible
from .arguments import exit_status, process_of, protocol_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, SupportsFloat, SupportsIndex

    from .._answers.address import ProtocolName
    from .._answers.listener import Listener, Process
    from .._backends.base import Backend
    from .._errors import NotListeningReason
    from .._host.host import Host
    from .._host.system import System
    from .arguments import AnyProcess

#: Seconds between queries: the first interval, the factor by which intervals grow, and the longest one.
_FIRST, _GROWTH, _LONGEST = 0.001, 1.3, 0.02
#: The interval is at least this many times the duration of a query, so that waiting takes a fifth of a processor.
_SHARE = 4.0
#: Addresses to which nearly every server that is started on a port is bound, or which conflict with them.
_USUAL = frozenset({"0.0.0.0", "127.0.0.1"})  # noqa: S104 - the library never listens
_EXAMPLE = "use math.inf to wait until the process ends"


def wait_for_listener(
    process: AnyProcess,
    port: SupportsIndex | None = None,
    *,
    protocol: ProtocolName = "tcp",
    timeout: SupportsFloat = 30.0,
    host: Host | None = None,
) -> Listeners:
    """Wait until a process, or one of its descendants, listens; return its listeners.

    Nothing connects to the port, and the process is not waited for: its exit status remains for its parent.

    Sockets of other processes do not count, such as those of an old server on that port, nor do those that the
    process has only because the caller was forked. A server that opens several sockets may not have all of them yet.
    A snapshot is read again each time.

    :param process: A pid, an object with a `pid` such as `subprocess.Popen`, or a `Process`.
    :param port: The port number, 0 to 65535. None means any port.
    :param protocol: "tcp", "udp", "sctp" or "dccp".
    :param timeout: The time to wait in seconds. 0 queries once, and `math.inf` waits until the process ends.
    :param host: The system to read. The default is the machine that Python runs on.

    Raises `NotListeningError`, which is a `TimeoutError`. Its `reason` is

    - "ended": the process has ended, or does not exist;
    - "taken": another program listens on the TCP port, on all IPv4 addresses or on 127.0.0.1, and a socket with
      SO_REUSEPORT cannot share it;
    - "timeout": the process does not listen yet.

    Raises `TypeError` and `ValueError` for arguments of other types or values, such as a negative timeout, and the
    errors of `listeners`.

    >>> import portrange, subprocess, sys
    >>> server = subprocess.Popen([sys.executable, "-c", '''
    ... import socket, time
    ... with socket.create_server(("127.0.0.1", 0)):
    ...     time.sleep(60)
    ... '''])
    >>> [listener.address for listener in portrange.wait_for_listener(server)]
    ['127.0.0.1']
    >>> server.kill(), server.wait() and None
    (None, None)
    """
    root = process_of(process)
    number = None if port is None else port_number(port)
    if number == 0:
        raise InvalidPortError("nothing can listen on port 0; omit the port to wait for any port")
    seconds = _seconds(timeout)
    system = system_of(host)
    waiting = _Waiting(system, process, root, number, protocol_name(protocol))
    descriptor = system.exit_descriptor(root.pid)
    try:
        return waiting.run(seconds, descriptor)
    finally:
        if descriptor is not None:
            with import_lock:
                import os

            os.close(descriptor)


def _seconds(timeout: object) -> float:
    if isinstance(timeout, (bool, str, bytes)) or not hasattr(timeout, "__float__"):
        raise TypeError(f"timeout is a number of seconds, not {type(timeout).__name__}: {timeout!r}; {_EXAMPLE}")
    try:
        seconds = float(timeout)  # pyright: ignore[reportArgumentType] - it has __float__
    except OverflowError:
        raise ValueError(f"timeout is too large a number of seconds; {_EXAMPLE}") from None
    if not seconds >= 0:
        raise ValueError(f"timeout is a number of seconds from 0 on, not {timeout!r}; {_EXAMPLE}")
    return seconds


class _Waiting:
    """One call of `wait_for_listener`."""

    def __init__(
        self, system: System, given: AnyProcess, root: Process, port: int | None, protocol: ProtocolName
    ) -> None:
        self._system = system
        self._backend: Backend = backend_for(system)
        self._given = given
        self._port = port
        self._protocol: ProtocolName = protocol
        #: The process, with its start time once it is known, so that another process with the same pid does not count.
        self._root = root
        self._wanted = "any port" if port is None else f"{protocol} port {port}"
        #: Listeners of others that do not keep the process from listening.
        self._harmless: set[Listener] = set()

    def run(self, seconds: float, descriptor: int | None) -> Listeners:
        with import_lock:
            import time

        start = time.monotonic()
        deadline, pause = start + seconds, _FIRST
        while True:
            began = time.monotonic()
            # In this order: a process that listens and then ends was listening.
            has_ended = self._has_ended()
            found = self._listeners()
            if found.listeners:
                return found
            if has_ended:
                raise self._error("ended", f"{self._name()} {self._end()}{self._elsewhere()}")
            other = self._in_the_way(can_inspect=not found.incomplete)
            if other is not None:
                found = self._listeners()  # it may listen by now
                if found.listeners:
                    return found
                raise self._error(
                    "taken",
                    f"{self._wanted} is in use by {_owner(other)}, so {self._name()} cannot listen on it: stop that "
                    "program, or use another port",
                )
            now = time.monotonic()
            if now >= deadline:
                raise self._error(
                    "timeout",
                    f"{self._name()} does not listen on {self._wanted} after {seconds:g} seconds{self._elsewhere()}",
                )
            pause = min(pause * _GROWTH, _LONGEST)
            if _sleep(min(max(pause, _SHARE * (now - began)), deadline - now), descriptor):
                descriptor = None  # it would end each sleep

    # --- queries -----------------------------------------------------------------------------------------------------

    def _has_ended(self) -> bool:
        if exit_status(self._given) is not None:
            return True
        process = self._backend.running(self._system, self._root)
        if process is not None:
            self._root = process
        return process is None

    def _query(self) -> SocketQuery:
        return SocketQuery(self._port, (self._protocol,), process=self._root, own_only=True)

    def _listeners(self) -> Listeners:
        """Return the listeners of the process."""
        if exit_status(self._given) is not None:
            return Listeners()
        return self._backend.listeners(self._system, self._query())

    def _in_the_way(self, *, can_inspect: bool) -> Listener | None:
        """Return a listener of another program that keeps nearly every server from listening (`_USUAL`).

        A hidden listener may be that of a process that cannot be inspected.
        """
        if self._protocol != "tcp":
            return None  # several UDP sockets may share a port
        for listener in self._others():
            if listener in self._harmless or (listener.hidden and not can_inspect):
                continue
            is_usual = listener.address in _USUAL or listener.dual_stack
            if is_usual and not self._system.can_share(self._protocol, listener.address, listener.port):
                return listener
            self._harmless.add(listener)
        return None

    def _others(self) -> tuple[Listener, ...]:
        """Return the listeners of other programs on the port."""
        if self._port is None:
            return ()
        try:
            return self._backend.listeners(
                self._system, SocketQuery(self._port, (self._protocol,), may_bind=False)
            ).listeners
        except PortrangeError:
            return ()  # it is unknown

    # --- messages ----------------------------------------------------------------------------------------------------

    def _error(self, reason: NotListeningReason, message: str) -> NotListeningError:
        return NotListeningError(visible(message), reason)

    def _name(self) -> str:
        name = f" ({self._root.name})" if self._root.name else ""
        return f"process {self._root.pid}{name}"

    def _end(self) -> str:
        """Return how the process has ended."""
        before = f"before it listened on {self._wanted}"
        status = exit_status(self._given)
        if status is None:
            status = self._system.exit_status(self._root.pid)
        if status is None:
            return f"has ended, or does not exist, {before}"
        if status < 0:
            return f"was ended by signal {-status} {before}"
        return f"exited with status {status} {before}"

    def _elsewhere(self) -> str:
        """Return where the process listens instead, which other program has the port, and what could not be read."""
        parts: list[str] = []
        found = self._backend.listeners(self._system, replace(self._query(), port=None, protocols=None))
        if found.listeners:
            parts.append("it listens on " + ", ".join(f"{each.protocol} {each.endpoint}" for each in found))
        parts += [
            f"{self._wanted} is in use by {_owner(listener)} ({listener.endpoint})" for listener in self._others()
        ]
        if self._backend.running(self._system, self._root) is not None:
            parts += [f"incomplete: {reason}" for reason in found.incomplete]
        return "".join(f"; {part}" for part in parts)


def _owner(listener: Listener) -> str:
    """Return the owners of a listener as a part of a sentence."""
    if listener.owners:
        return listener.holder
    user = f" of user {listener.user}" if listener.user else ""
    if not listener.hidden:
        return f"the kernel or a process{user} in another PID namespace"
    possible = joined(map(str, listener.possible_owners), "or")
    return f"a process{user} that cannot be inspected" + (f" (possibly {possible})" if possible else "")


def _sleep(seconds: float, descriptor: int | None) -> bool:
    """Sleep; return True at once if *descriptor*, that of a process (pidfd_open(2)), shows that it has ended."""
    with import_lock:
        import select
        import time

    poll: Any = getattr(select, "poll", None)  # gevent removes it, and Windows has none
    if descriptor is None or poll is None:
        time.sleep(seconds)
        return False
    watched = poll()
    watched.register(descriptor, 1)  # POLLIN
    return bool(watched.poll(seconds * 1000))
