"""The same scenarios for every backend that goes through psutil, each with what psutil sees on its system."""

from __future__ import annotations

import errno
import json
from dataclasses import replace

import pytest
from process_rows import Rows, connection, listening
from recorded import RecordedHost

from portrange import ParseError, SourceError, UnsupportedPlatformError
from portrange._backends.base import SocketQuery
from portrange._backends.portable.backend import PortableBackend
from portrange._backends.portable.view import EVERYTHING, SocketRow
from portrange._backends.select import backend_for

ONE_BY_ONE = ["darwin-24.4", "freebsd-13.0", "dragonfly-6.4", "openbsd-7.6", "netbsd-10.0"]
WHOLE_TABLE = ["win32-10.0", "cygwin-3.5", "sunos-5.11", "aix-7.2"]
LINUX = ["linux-6.18"]
SUPERUSER = ["darwin-24.4-root"]
EVERY = [*ONE_BY_ONE, *WHOLE_TABLE, *LINUX, *SUPERUSER]

WEB = listening("tcp", "0.0.0.0", 8080)
DNS = listening("udp", "::", 8080)


def asked(name: str, table: Rows, *, taken=None, **query):
    """The answer of the backend that belongs to a recorded machine, and the machine."""
    host = RecordedHost(name, taken=taken)
    backend = backend_for(host)
    if not isinstance(backend, PortableBackend):
        backend = PortableBackend(backend_for(RecordedHost("darwin-24.4")).reader, EVERYTHING)
    # macOS keeps the table of the whole system from a caller. On the BSDs it may lack rows, and is not asked for.
    table.whole_table_refused |= name in ONE_BY_ONE + SUPERUSER
    return replace(backend, table=table).listeners(host, SocketQuery(**query)), host


@pytest.mark.parametrize("name", EVERY)
def test_a_listener_is_found_with_its_owner(name):
    answer, _ = asked(name, Rows({7: [WEB], 8: [DNS]}), port=8080)
    tcp, udp = answer
    assert (tcp.protocol, tcp.family, tcp.address, tcp.port, tcp.dual_stack) == ("tcp", "ipv4", "0.0.0.0", 8080, False)
    assert (tcp.pid, tcp.process, tcp.user, tcp.hidden) == (7, "program7", "user7", False)
    assert (udp.protocol, udp.family, udp.address, udp.dual_stack, udp.pid) == ("udp", "ipv6", "::", None, 8)
    json.dumps(answer.to_dict())


@pytest.mark.parametrize("name", EVERY)
def test_only_the_port_and_protocol_asked_for_are_answered(name):
    table = Rows({7: [WEB, listening("tcp", "0.0.0.0", 8081), listening("udp", "0.0.0.0", 8080)]})
    answer, _ = asked(name, table, port=8080, protocols=("tcp",))
    assert [(one.protocol, one.port) for one in answer] == [("tcp", 8080)]


@pytest.mark.parametrize("name", EVERY)
def test_connections_are_no_listeners(name):
    table = Rows({7: [connection("tcp", "10.0.0.1", 8080), connection("udp", "10.0.0.1", 8080)]})
    answer, _ = asked(name, table)
    assert len(answer) == 0


@pytest.mark.parametrize("name", EVERY)
def test_all_of_them_in_the_order_of_ports(name):
    table = Rows({7: [listening("tcp", "::", 9000), listening("udp", "0.0.0.0", 53), listening("tcp", "0.0.0.0", 53)]})
    answer, _ = asked(name, table)
    assert [(one.port, one.protocol) for one in answer] == [(53, "tcp"), (53, "udp"), (9000, "tcp")]


@pytest.mark.parametrize("name", [*ONE_BY_ONE, *LINUX, *SUPERUSER])
def test_all_holders_of_a_shared_socket_are_named_oldest_first(name):
    answer, _ = asked(name, Rows({5: [WEB], 6: [WEB], 9: [WEB]}), port=8080)
    assert [[owner.pid for owner in one.owners] for one in answer] == [[9, 6, 5]]


@pytest.mark.parametrize("name", [*ONE_BY_ONE, *LINUX, *SUPERUSER])
def test_a_number_that_belongs_to_another_process_by_now_is_not_named(name):
    answer, _ = asked(name, Rows({5: [WEB], 6: [WEB]}, replaced=frozenset({5})), port=8080)
    assert [[owner.pid for owner in one.owners] for one in answer] == [[6]]


@pytest.mark.parametrize("name", WHOLE_TABLE)
@pytest.mark.parametrize("gone", [{"ended": frozenset({5})}, {"replaced": frozenset({5})}])
def test_a_listener_whose_process_has_ended_is_hidden_where_a_table_names_one_process(name, gone):
    answer, _ = asked(name, Rows({5: [WEB]}, **gone), port=8080)
    assert [(one.owners, one.hidden) for one in answer] == [((), True)]


@pytest.mark.parametrize("name", [*WHOLE_TABLE, *LINUX])
def test_a_listener_without_a_known_holder_is_never_left_out(name):
    answer, host = asked(name, Rows(unheld=[WEB]), port=8080)
    assert [(one.owners, one.hidden) for one in answer] == [((), True)]
    assert host.bound == []


def test_for_the_superuser_of_linux_the_kernel_itself_may_listen():
    class Superuser(RecordedHost):
        uid = 0

    backend = PortableBackend(backend_for(RecordedHost("darwin-24.4")).reader, EVERYTHING, Rows(unheld=[WEB]))
    answer = backend.listeners(Superuser("linux-6.18"), SocketQuery(8080))
    assert [(one.owners, one.hidden) for one in answer] == [((), False)]


@pytest.mark.parametrize("name", [*WHOLE_TABLE, *LINUX])
def test_a_table_that_shows_every_socket_proves_nobody(name):
    answer, host = asked(name, Rows({5: [connection("tcp", "10.0.0.1", 8080)]}), port=8080)
    assert not answer
    assert host.bound == []


@pytest.mark.parametrize("name", SUPERUSER)
def test_for_the_superuser_binding_settles_what_no_process_holds(name):
    """The kernel has sockets that are in no process: that nobody holds one proves nothing yet."""
    answer, host = asked(name, Rows({5: []}), port=8080, protocols=("tcp",))
    assert not answer
    assert len(host.bound) == 2
    answer, _ = asked(name, Rows({5: []}), taken={("tcp", "ipv4", 8080): errno.EADDRINUSE}, port=8080)
    assert len(answer) == 0
    assert answer
    assert "tcp port 8080: no process" in answer.incomplete[0]


@pytest.mark.parametrize("name", SUPERUSER)
def test_for_the_superuser_a_listener_in_sight_leaves_no_doubt(name):
    answer, host = asked(name, Rows({5: [WEB]}), port=8080, protocols=("tcp",))
    assert [one.pid for one in answer] == [5]
    assert (answer.incomplete, host.bound) == ((), [])
    answer, host = asked(name, Rows({5: []}), taken={("tcp", "ipv4", 55555): errno.EADDRINUSE}, port=55555)
    assert not answer


@pytest.mark.parametrize("name", [*ONE_BY_ONE, "aix-7.2"])
def test_where_others_are_out_of_sight_binding_proves_nobody(name):
    answer, host = asked(name, Rows({5: [], 6: [WEB]}, refusing=frozenset({6}), whole_table_refused=True), port=80)
    assert not answer
    assert host.bound == [
        (protocol, family, address, 80)
        for protocol in ("tcp", "udp")
        for family, address in (("ipv6", "::"), ("ipv4", "0.0.0.0"))
    ]


@pytest.mark.parametrize("name", [*ONE_BY_ONE, "aix-7.2"])
@pytest.mark.parametrize(
    ("families", "family", "dual_stack"),
    [(("ipv4",), "ipv4", False), (("ipv6",), "ipv6", None), (("ipv4", "ipv6"), "ipv6", None)],
)
def test_where_others_are_out_of_sight_a_taken_port_is_a_hidden_listener(name, families, family, dual_stack):
    taken = {("tcp", one, 8080): errno.EADDRINUSE for one in families}
    answer, _ = asked(name, Rows(whole_table_refused=True), taken=taken, port=8080)
    (hidden,) = answer
    assert (hidden.protocol, hidden.family, hidden.port, hidden.address) == ("tcp", family, 8080, "")
    assert (hidden.hidden, hidden.owners, hidden.dual_stack) == (True, (), dual_stack)
    assert [gap for gap in answer.incomplete if "tcp port 8080" in gap and "does not listen" in gap]


@pytest.mark.parametrize("name", [*ONE_BY_ONE, "aix-7.2"])
def test_what_binding_cannot_settle_is_an_error_that_says_what_to_do(name):
    taken = {("tcp", family, 80): errno.EACCES for family in ("ipv4", "ipv6")}
    with pytest.raises(SourceError, match=r"psutil: who listens on tcp port 80: .*superuser"):
        asked(name, Rows(whole_table_refused=True), taken=taken, port=80)


@pytest.mark.parametrize("name", [*ONE_BY_ONE, "aix-7.2"])
def test_a_machine_without_ipv6_has_no_listener_there(name):
    taken = {(protocol, "ipv6", 80): errno.EAFNOSUPPORT for protocol in ("tcp", "udp")}
    answer, _ = asked(name, Rows(whole_table_refused=True), taken=taken, port=80)
    assert not answer


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_a_port_that_the_caller_has_is_not_bound_to_settle_who_else_has_it(name):
    answer, host = asked(name, Rows({5: [WEB], 6: []}, refusing=frozenset({6})), port=8080, protocols=("tcp",))
    assert [one.pid for one in answer] == [5]
    assert host.bound == []
    assert len(answer.incomplete) == 1


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_the_callers_own_connection_explains_why_binding_fails_and_proves_no_listener(name):
    table = Rows({5: [connection("tcp", "10.0.0.1", 50123)]})
    with pytest.raises(SourceError, match="50123"):
        asked(name, table, taken={("tcp", "ipv4", 50123): errno.EADDRINUSE}, port=50123, protocols=("tcp",))


@pytest.mark.parametrize("name", [*ONE_BY_ONE, "aix-7.2"])
def test_all_listeners_of_a_partial_view_are_not_all(name):
    answer, host = asked(name, Rows({5: [WEB], 6: [DNS]}, refusing=frozenset({6}), whole_table_refused=True))
    assert answer
    assert len(answer.incomplete) == 1
    assert "superuser" in answer.incomplete[0]
    assert host.bound == []


def test_a_restricted_port_of_macos_cannot_be_settled_by_binding():
    taken = {("tcp", "ipv4", 55555): errno.EADDRINUSE}
    with pytest.raises(SourceError, match=r"keeps it from most programs \(sysctl net.restricted_port.bitmap\)"):
        asked("darwin-24.4", Rows(), taken=taken, port=55555, protocols=("tcp",))


def test_a_restricted_port_of_macos_may_be_free_for_the_other_transport():
    answer, host = asked("darwin-24.4", Rows(), port=55555, protocols=("udp",))
    assert (answer.incomplete, bool(answer)) == ((), False)
    assert {protocol for protocol, *_ in host.bound} == {"udp"}


@pytest.mark.parametrize(
    "failure", [SourceError("psutil", "Input/output error", errno.EIO), ParseError("psutil", "?", "!")]
)
def test_a_process_that_psutil_fails_at_spoils_no_other_answer(failure):
    rows = Rows({5: [WEB], 6: [DNS]}, refusing=frozenset({6}), failure=failure)
    answer, _ = asked("freebsd-13.0", rows)
    assert [owner.pid for one in answer for owner in one.owners] == [5]
    assert len(answer.incomplete) == 1
    backend = backend_for(RecordedHost("freebsd-13.0"))
    assert isinstance(backend, PortableBackend)
    usage = replace(backend, table=rows).usage(RecordedHost("freebsd-13.0"), "tcp")
    assert "sockets of processes that may not be looked into" in usage.incomplete[0]


@pytest.mark.parametrize("name", EVERY)
def test_other_transports_cannot_be_listed(name):
    with pytest.raises(UnsupportedPlatformError, match="sctp"):
        asked(name, Rows(), protocols=("sctp",))


@pytest.mark.parametrize("name", EVERY)
def test_other_namespaces_are_a_gap(name):
    answer, _ = asked(name, Rows({7: [WEB]}), all_namespaces=True)
    assert "network namespaces" in answer.incomplete[-1]


@pytest.mark.parametrize("name", EVERY)
def test_sockets_in_any_state_say_why_a_port_is_taken(name):
    host = RecordedHost(name)
    backend = backend_for(host)
    if not isinstance(backend, PortableBackend):
        backend = PortableBackend(backend_for(RecordedHost("darwin-24.4")).reader, EVERYTHING)
    ended = SocketRow("tcp", "ipv4", "10.0.0.1", 8080, "time-wait", "192.0.2.7", 443)
    table = Rows({7: [connection("tcp", "10.0.0.1", 8080), WEB]}, unheld=[ended])
    sockets = replace(backend, table=table).bound(host, "tcp", 8080)
    assert [one.state for one in sockets if one.owners] == ["listen", "connection"]
    assert [(one.remote_address, one.remote_port) for one in sockets if one.state == "connection"] == [
        ("192.0.2.7", 443)
    ]
    # What the kernel keeps after a connection is shown by the system's table only, and nobody holds it.
    waiting = [one.hidden for one in sockets if one.state == "time-wait"]
    assert waiting == ([] if name in ONE_BY_ONE + SUPERUSER else [False])


@pytest.mark.parametrize("name", ["darwin-24.4", "freebsd-13.0"])
def test_the_interface_of_a_link_local_address_is_named(name):
    row = SocketRow("tcp", "ipv6", "fe80::1", 8080, "listen", scope=4)
    answer, _ = asked(name, Rows({7: [row]}), port=8080)
    assert [one.interface for one in answer] == ["#4"]
