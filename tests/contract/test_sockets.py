"""Common scenarios for every psutil backend, with the rows that psutil returns on each system."""

from __future__ import annotations

import errno
import json
import sys

import pytest
from process_rows import Rows, connection, listening
from recorded import RecordedHost, RecordedTable

import portrange
from portrange import NotListeningError, ParseError, Process, SourceError, UnsupportedPlatformError
from portrange._backends.base import PortQuery, SocketQuery
from portrange._backends.portable import EVERYTHING, PortableBackend
from portrange._backends.portable.psutil_table import SocketRow
from portrange._backends.select import backend_for
from portrange._frozen import replace

#: Only processes that the caller may inspect; on FreeBSD and NetBSD with the additions of their sections below.
ONE_BY_ONE = ["darwin-24.4", "freebsd-13.0", "dragonfly-6.4", "netbsd-10.0"]
#: All descriptors of all processes.
DESCRIPTORS = ["openbsd-7.6"]
WHOLE_TABLE = ["win32-10.0", "cygwin-3.5", "sunos-5.11", "aix-7.2"]
LINUX = ["linux-6.18"]
SUPERUSER = ["darwin-24.4-root"]
EVERY = [*ONE_BY_ONE, *DESCRIPTORS, *WHOLE_TABLE, *LINUX, *SUPERUSER]

#: The pid of this process and its probe sockets, as in `RecordedHost.held_probes`.
OWN_PID = 4242
OWN_PROBES = [
    SocketRow("tcp", "ipv4", "127.0.0.1", 60001, "bound"),
    SocketRow("udp", "ipv4", "127.0.0.1", 60002, "listen"),
]

little_endian = pytest.mark.skipif(sys.byteorder == "big", reason="recorded on a little-endian machine")

WEB = listening("tcp", "0.0.0.0", 8080)
DNS = listening("udp", "::", 8080)


def search(name: str, table: Rows, *, taken=None, **query):
    """Return the listeners found by the backend of a recorded host, and the host."""
    host = RecordedHost(name, taken=taken)
    backend = backend_for(host)
    if not isinstance(backend, PortableBackend):
        backend = PortableBackend(backend_for(RecordedHost("darwin-24.4")).reader, EVERYTHING)
    return replace(backend, table=as_on(name, table)).listeners(host, SocketQuery(**query)), host


def reasons(answer):
    """Return `incomplete` without the tables of the kernel, which these machines do not have (tests/backends)."""
    return [reason for reason in answer.incomplete if "pcblist_n" not in reason]


def as_on(name: str, table: Rows) -> Rows:
    """Return the table with the properties that it has on a system."""
    # macOS refuses the table of the whole system.
    table.whole_table_refused |= name.startswith(("darwin", "dragonfly", "netbsd"))
    if name.startswith("freebsd"):
        table.owned_only = "one"
    if name.startswith("openbsd"):
        table.owned_only = "all"
    if name.startswith("netbsd"):
        table.held.setdefault(OWN_PID, OWN_PROBES)
    return table


@pytest.mark.parametrize("name", EVERY)
def test_listener_is_found_with_its_owner(name):
    answer, _ = search(name, Rows({7: [WEB], 8: [DNS]}), port=8080)
    tcp, udp = answer
    assert (tcp.protocol, tcp.family, tcp.address, tcp.port, tcp.dual_stack) == ("tcp", "ipv4", "0.0.0.0", 8080, False)
    assert (tcp.pid, tcp.process, tcp.user, tcp.hidden) == (7, "program7", "user7", False)
    assert (udp.protocol, udp.family, udp.address, udp.dual_stack, udp.pid) == ("udp", "ipv6", "::", None, 8)
    json.dumps(answer.to_dict())


@pytest.mark.parametrize("name", EVERY)
def test_query_selects_port_and_protocol(name):
    table = Rows({7: [WEB, listening("tcp", "0.0.0.0", 8081), listening("udp", "0.0.0.0", 8080)]})
    answer, _ = search(name, table, port=8080, protocols=("tcp",))
    assert [(listener.protocol, listener.port) for listener in answer] == [("tcp", 8080)]


@pytest.mark.parametrize("name", EVERY)
def test_connections_are_not_listeners(name):
    table = Rows({7: [connection("tcp", "10.0.0.1", 8080), connection("udp", "10.0.0.1", 8080)]})
    answer, _ = search(name, table)
    assert len(answer) == 0


@pytest.mark.parametrize("name", EVERY)
def test_listeners_are_sorted_by_port(name):
    table = Rows({7: [listening("tcp", "::", 9000), listening("udp", "0.0.0.0", 53), listening("tcp", "0.0.0.0", 53)]})
    answer, _ = search(name, table)
    assert [(listener.port, listener.protocol) for listener in answer] == [(53, "tcp"), (53, "udp"), (9000, "tcp")]


@pytest.mark.parametrize("name", [*ONE_BY_ONE, *DESCRIPTORS, *LINUX, *SUPERUSER])
def test_shared_socket_lists_all_owners_oldest_first(name):
    answer, _ = search(name, Rows({5: [WEB], 6: [WEB], 9: [WEB]}), port=8080)
    assert [[owner.pid for owner in listener.owners] for listener in answer] == [[9, 6, 5]]


@pytest.mark.parametrize("name", [*ONE_BY_ONE, *DESCRIPTORS, *LINUX, *SUPERUSER])
def test_reused_pid_is_not_an_owner(name):
    answer, _ = search(name, Rows({5: [WEB], 6: [WEB]}, replaced=frozenset({5})), port=8080)
    assert [[owner.pid for owner in listener.owners] for listener in answer] == [[6]]


@pytest.mark.parametrize("name", WHOLE_TABLE)
@pytest.mark.parametrize("gone", [{"ended": frozenset({5})}, {"replaced": frozenset({5})}])
def test_listener_of_an_ended_process_is_hidden_in_whole_tables(name, gone):
    answer, _ = search(name, Rows({5: [WEB]}, **gone), port=8080)
    assert [(listener.owners, listener.hidden) for listener in answer] == [((), True)]


class Changing(Rows):
    """Rows that differ from the second table of the whole system on."""

    def sockets(self, protocols):
        rows = super().sockets(protocols)
        self.held = self.later
        return rows


@pytest.mark.parametrize("name", [*WHOLE_TABLE, *DESCRIPTORS])
def test_listener_that_was_closed_during_the_search_is_not_listed(name):
    table = Changing({5: [WEB, DNS]})
    table.later = {5: [DNS]}
    answer, _ = search(name, table)
    assert [(listener.protocol, listener.pid) for listener in answer] == [("udp", 5)]


@pytest.mark.parametrize("name", [*WHOLE_TABLE, *DESCRIPTORS])
def test_listener_that_was_passed_on_during_the_search_is_hidden(name):
    """The first owner has closed the socket, and the second one was not described."""
    table = Changing({5: [WEB]})
    table.later = {6: [WEB]}
    answer, _ = search(name, table)
    assert [(listener.protocol, listener.owners, listener.hidden) for listener in answer] == [("tcp", (), True)]


@pytest.mark.parametrize("name", [*WHOLE_TABLE, *LINUX])
def test_listener_without_known_owner_is_reported_as_hidden(name):
    answer, host = search(name, Rows(unheld=[WEB]), port=8080)
    assert [(listener.owners, listener.hidden) for listener in answer] == [((), True)]
    assert host.bound == []


def test_listener_without_owner_is_not_hidden_from_linux_superuser():
    class Superuser(RecordedHost):
        uid = 0

    backend = PortableBackend(backend_for(RecordedHost("darwin-24.4")).reader, EVERYTHING, Rows(unheld=[WEB]))
    answer = backend.listeners(Superuser("linux-6.18"), SocketQuery(8080))
    assert [(listener.owners, listener.hidden) for listener in answer] == [((), False)]


@pytest.mark.parametrize("name", [*WHOLE_TABLE, *LINUX])
def test_complete_table_proves_that_nothing_listens(name):
    answer, host = search(name, Rows({5: [connection("tcp", "10.0.0.1", 8080)]}), port=8080)
    assert not answer
    assert host.bound == []


@pytest.mark.parametrize("name", SUPERUSER)
def test_bind_probe_decides_if_superuser_sees_no_owner(name):
    """Some kernel sockets belong to no process, so missing rows do not prove that nothing listens."""
    answer, host = search(name, Rows({5: []}), port=8080, protocols=("tcp",))
    assert not answer
    assert len(host.bound) == 2
    answer, _ = search(name, Rows({5: []}), taken={("tcp", "ipv4", 8080): errno.EADDRINUSE}, port=8080)
    assert len(answer) == 0
    assert answer
    assert "tcp port 8080 is in use by no process" in answer.incomplete[0]


@pytest.mark.parametrize("name", SUPERUSER)
def test_visible_listener_needs_no_bind_probe_for_superuser(name):
    answer, host = search(name, Rows({5: [WEB]}), port=8080, protocols=("tcp",))
    assert [listener.pid for listener in answer] == [5]
    assert (answer.incomplete, host.bound) == ((), [])
    answer, host = search(name, Rows({5: []}), taken={("tcp", "ipv4", 55555): errno.EADDRINUSE}, port=55555)
    assert not answer


@pytest.mark.parametrize("name", [*ONE_BY_ONE, "aix-7.2"])
def test_successful_bind_probe_proves_that_nothing_listens(name):
    answer, host = search(name, Rows({5: [], 6: [WEB]}, refusing=frozenset({6}), whole_table_refused=True), port=80)
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
def test_failed_bind_probe_is_reported_as_a_hidden_listener(name, families, family, dual_stack):
    taken = {("tcp", taken_family, 8080): errno.EADDRINUSE for taken_family in families}
    answer, _ = search(name, Rows(whole_table_refused=True), taken=taken, port=8080)
    (hidden,) = answer
    assert (hidden.protocol, hidden.family, hidden.port, hidden.address) == ("tcp", family, 8080, "")
    assert (hidden.hidden, hidden.owners, hidden.dual_stack) == (True, (), dual_stack)
    assert [reason for reason in answer.incomplete if "tcp port 8080" in reason and "does not listen" in reason]


@pytest.mark.parametrize("name", [*ONE_BY_ONE, "aix-7.2"])
def test_inconclusive_bind_probe_raises_source_error_with_remedy(name):
    taken = {("tcp", family, 80): errno.EACCES for family in ("ipv4", "ipv6")}
    with pytest.raises(
        SourceError, match=r"psutil: cannot determine whether a process listens on tcp port 80: .*run as root"
    ):
        search(name, Rows(whole_table_refused=True), taken=taken, port=80)


@pytest.mark.parametrize("name", [*ONE_BY_ONE, "aix-7.2"])
def test_host_without_ipv6_has_no_ipv6_listener(name):
    taken = {(protocol, "ipv6", 80): errno.EAFNOSUPPORT for protocol in ("tcp", "udp")}
    answer, _ = search(name, Rows(whole_table_refused=True), taken=taken, port=80)
    assert not answer


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_port_of_a_visible_listener_is_not_probed(name):
    answer, host = search(name, Rows({5: [WEB], 6: []}, refusing=frozenset({6})), port=8080, protocols=("tcp",))
    assert [listener.pid for listener in answer] == [5]
    assert host.bound == []
    assert len(reasons(answer)) == 1


@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_own_connection_makes_the_bind_probe_inconclusive(name):
    table = Rows({5: [connection("tcp", "10.0.0.1", 50123)]})
    with pytest.raises(SourceError, match="50123"):
        search(name, table, taken={("tcp", "ipv4", 50123): errno.EADDRINUSE}, port=50123, protocols=("tcp",))


@pytest.mark.parametrize("name", [*ONE_BY_ONE, "aix-7.2"])
def test_listeners_of_a_partial_view_are_incomplete(name):
    answer, host = search(name, Rows({5: [WEB], 6: [DNS]}, refusing=frozenset({6}), whole_table_refused=True))
    assert answer
    assert len(reasons(answer)) == 1
    assert "run as root" in reasons(answer)[0]
    assert host.bound == []


def test_macos_restricted_port_makes_the_bind_probe_inconclusive():
    taken = {("tcp", "ipv4", 55555): errno.EADDRINUSE}
    with pytest.raises(SourceError, match=r"the system excludes it \(sysctl net.restricted_port.bitmap\)"):
        search("darwin-24.4", Rows(), taken=taken, port=55555, protocols=("tcp",))


def test_macos_port_restricted_for_tcp_is_probed_for_udp():
    answer, host = search("darwin-24.4", Rows(), port=55555, protocols=("udp",))
    assert (answer.incomplete, bool(answer)) == ((), False)
    assert {protocol for protocol, *_ in host.bound} == {"udp"}


@pytest.mark.parametrize(
    "failure", [SourceError("psutil", "Input/output error", errno.EIO), ParseError("psutil", "?", "!")]
)
def test_psutil_failure_for_one_process_keeps_the_other_listeners(failure):
    rows = Rows({5: [WEB], 6: [DNS]}, refusing=frozenset({6}), failure=failure)
    answer, _ = search("darwin-24.4", rows)
    assert [owner.pid for listener in answer for owner in listener.owners] == [5]
    assert len(reasons(answer)) == 1
    backend = backend_for(RecordedHost("darwin-24.4"))
    assert isinstance(backend, PortableBackend)
    usage = replace(backend, table=rows).ephemeral_usage(RecordedHost("darwin-24.4"), "tcp")
    assert "some processes cannot be inspected" in usage.incomplete[0]


@pytest.mark.parametrize("name", EVERY)
def test_other_transports_raise_unsupported_platform_error(name):
    with pytest.raises(UnsupportedPlatformError, match="sctp"):
        search(name, Rows(), protocols=("sctp",))


@pytest.mark.parametrize("name", EVERY)
def test_other_namespaces_are_incomplete(name):
    answer, _ = search(name, Rows({7: [WEB]}), all_namespaces=True)
    assert "network namespaces" in answer.incomplete[-1]


@pytest.mark.parametrize("name", EVERY)
def test_bound_lists_sockets_in_any_state(name):
    host = RecordedHost(name)
    backend = backend_for(host)
    if not isinstance(backend, PortableBackend):
        backend = PortableBackend(backend_for(RecordedHost("darwin-24.4")).reader, EVERYTHING)
    ended = SocketRow("tcp", "ipv4", "10.0.0.1", 8080, "time-wait", "192.0.2.7", 443)
    table = Rows({7: [connection("tcp", "10.0.0.1", 8080), WEB]}, unheld=[ended])
    sockets = replace(backend, table=as_on(name, table)).sockets_on(host, PortQuery(8080, ("tcp",)))
    assert [bound.state for bound in sockets if bound.owners] == ["listen", "connection"]
    assert [(bound.remote_address, bound.remote_port) for bound in sockets if bound.state == "connection"] == [
        ("192.0.2.7", 443)
    ]
    # TIME-WAIT sockets have no owner and appear only in the table of the whole system.
    hidden = [bound.hidden for bound in sockets if bound.state == "time-wait"]
    assert hidden == ([] if name in ONE_BY_ONE + DESCRIPTORS + SUPERUSER else [False])


@pytest.mark.parametrize("name", ["darwin-24.4", "freebsd-13.0"])
def test_link_local_listener_names_its_interface(name):
    row = SocketRow("tcp", "ipv6", "fe80::1", 8080, "listen", scope=4)
    answer, _ = search(name, Rows({7: [row]}), port=8080)
    assert [listener.interface for listener in answer] == ["#4"]


# --- FreeBSD: other users in the table of the whole system -----------------------------------------------------------


def test_freebsd_listener_of_another_user_is_found_with_its_owner():
    answer, host = search("freebsd-13.0", Rows({5: [DNS], 6: [WEB]}, refusing=frozenset({6})), port=8080)
    assert [(listener.protocol, listener.pid, listener.hidden) for listener in answer] == [
        ("tcp", 6, False),
        ("udp", 5, False),
    ]
    assert host.bound == []
    # A second listener of a hidden user may exist.
    assert len(answer.incomplete) == 2


def test_freebsd_listeners_of_the_superuser_are_complete():
    class Superuser(RecordedHost):
        uid = 0

    table = as_on("freebsd-13.0", Rows({5: [DNS], 6: [WEB]}))
    answer = replace(backend_for(RecordedHost("freebsd-13.0")), table=table).listeners(
        Superuser("freebsd-13.0"), SocketQuery()
    )
    assert ([listener.pid for listener in answer], answer.incomplete) == ([6, 5], ())


def test_freebsd_shared_socket_has_owners_of_both_sources():
    """The table names one owner of a socket, here one that cannot be inspected."""
    answer, _ = search("freebsd-13.0", Rows({5: [WEB], 6: [WEB], 9: [WEB]}, refusing=frozenset({9})), port=8080)
    assert [[owner.pid for owner in listener.owners] for listener in answer] == [[9, 6, 5]]


@pytest.mark.parametrize("gone", [{"ended": frozenset({6})}, {"replaced": frozenset({6})}])
def test_freebsd_listener_of_an_ended_process_of_another_user_is_hidden(gone):
    answer, _ = search("freebsd-13.0", Rows({6: [WEB]}, refusing=frozenset({6}), **gone), port=8080)
    assert [(listener.owners, listener.hidden) for listener in answer] == [((), True)]


@pytest.mark.parametrize("failure", [PermissionError(errno.EPERM, "no"), ParseError("psutil", "?", "!")])
def test_freebsd_without_the_whole_table_lists_inspected_processes(failure):
    class Refusing(Rows):
        def sockets(self, protocols):
            raise failure

    answer, _ = search("freebsd-13.0", Refusing({5: [WEB], 6: [DNS]}, refusing=frozenset({6})))
    assert [listener.pid for listener in answer] == [5]
    assert len(answer.incomplete) == 1


def test_freebsd_free_port_is_proven_by_bind_probes_despite_the_table():
    """The table lacks sockets of the kernel, and those of users that the system hides."""
    answer, host = search("freebsd-13.0", Rows({5: []}), port=8080, protocols=("tcp",))
    assert not answer
    assert len(host.bound) == 2


def test_freebsd_bound_sockets_of_another_user_have_their_owner():
    backend = backend_for(RecordedHost("freebsd-13.0"))
    table = as_on("freebsd-13.0", Rows({6: [WEB]}, refusing=frozenset({6})))
    [bound] = replace(backend, table=table).sockets_on(RecordedHost("freebsd-13.0"), PortQuery(8080, ("tcp",)))
    assert (bound.pid, bound.state) == (6, "listen")


@pytest.mark.parametrize(("name", "hidden"), [("freebsd-13.0", True), ("openbsd-7.6", False)])
def test_bsd_usage_counts_sockets_of_other_users(name, hidden):
    table = as_on(name, Rows({6: [connection("tcp", "10.0.0.1", 20000)]}, refusing=frozenset({6})))
    usage = replace(backend_for(RecordedHost(name)), table=table).ephemeral_usage(RecordedHost(name), "tcp")
    assert usage.used == 1
    assert any("cannot be inspected" in reason for reason in usage.incomplete) is hidden


# --- OpenBSD: every descriptor of every process ----------------------------------------------------------------------


def test_openbsd_listeners_are_complete_for_an_ordinary_user():
    answer, host = search("openbsd-7.6", Rows({5: [WEB], 6: [DNS]}))
    assert [listener.pid for listener in answer] == [5, 6]
    assert (answer.incomplete, host.bound) == ((), [])


def test_openbsd_listener_is_the_only_one_on_its_port():
    answer, host = search("openbsd-7.6", Rows({5: [WEB]}), port=8080, protocols=("tcp",))
    assert [listener.pid for listener in answer] == [5]
    assert (answer.incomplete, host.bound) == ((), [])


def test_openbsd_kernel_socket_is_found_by_the_bind_probe():
    taken = {("udp", "ipv4", 2049): errno.EADDRINUSE}
    answer, _ = search("openbsd-7.6", Rows({5: [WEB]}), taken=taken, port=2049)
    assert (len(answer), bool(answer)) == (0, True)
    assert "in use by no process" in answer.incomplete[0]


def test_openbsd_refused_table_is_reported_as_a_hidden_listener():
    taken = {("tcp", "ipv4", 8080): errno.EADDRINUSE}
    answer, _ = search("openbsd-7.6", Rows({5: [WEB]}, whole_table_refused=True), taken=taken, port=8080)
    assert [(listener.owners, listener.hidden) for listener in answer] == [((), True)]


# --- NetBSD: owners by kernel addresses ------------------------------------------------------------------------------


def test_netbsd_probe_sockets_are_not_in_results():
    answer, _ = search("netbsd-10.0", Rows({7: [WEB]}))
    assert [(listener.port, listener.pid) for listener in answer] == [(8080, 7)]


def test_netbsd_owners_are_unknown_when_every_process_matches_every_socket():
    """Without the probe sockets, process 8 would be an owner of both listeners."""
    rows = Rows({7: [WEB], 8: [DNS], OWN_PID: OWN_PROBES}, matches_everything=True)
    answer, _ = search("netbsd-10.0", rows)
    assert [(listener.protocol, listener.owners, listener.hidden) for listener in answer] == [
        ("tcp", (), True),
        ("udp", (), True),
    ]
    assert "kernel addresses" in answer.incomplete[0]


def test_netbsd_owners_are_unknown_when_no_process_matches_the_probe_sockets():
    answer, _ = search("netbsd-10.0", Rows({7: [WEB], OWN_PID: []}))
    assert [(listener.owners, listener.hidden) for listener in answer] == [((), True)]
    assert "kernel addresses" in answer.incomplete[0]


def test_netbsd_superuser_without_matches_has_no_proof_of_absence():
    """Without the probe sockets, the empty result of the superuser would count as complete."""

    class Superuser(RecordedHost):
        uid = 0

    backend = replace(backend_for(RecordedHost("netbsd-10.0")), table=as_on("netbsd-10.0", Rows({7: [], OWN_PID: []})))
    answer = backend.listeners(Superuser("netbsd-10.0"), SocketQuery())
    assert (len(answer), bool(answer)) == (0, True)


def test_netbsd_free_port_is_free_whatever_psutil_matches():
    answer, _ = search("netbsd-10.0", Rows({7: [], OWN_PID: []}), port=8080)
    assert not answer


def test_netbsd_without_sockets_raises_source_error():
    class Full(RecordedHost):
        def held_probes(self):
            raise OSError(errno.EMFILE, "Too many open files")

    backend = replace(backend_for(RecordedHost("netbsd-10.0")), table=as_on("netbsd-10.0", Rows({7: [WEB]})))
    with pytest.raises(SourceError, match="bind probe: Too many open files"):
        backend.listeners(Full("netbsd-10.0"), SocketQuery())


# --- Linux: recorded replies of sock_diag and tables of procfs -------------------------------------------------------

RECORDED = ["linux-6.18-recorded", "linux-6.18-recorded-user"]


class WithoutSockDiag(RecordedHost):
    """A recorded host whose kernel refuses sock_diag."""

    def sock_diag(self, request):
        raise OSError(errno.EPROTONOSUPPORT, "Protocol not supported")


@little_endian
@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("kind", [RecordedHost, WithoutSockDiag])
def test_recorded_linux_lists_the_listeners_that_psutil_shows(name, kind):
    host = kind(name)
    rows = RecordedTable(host.directory).sockets(("tcp", "udp"))
    found = portrange.listeners(host=host)
    assert {(row.protocol, row.address, row.port) for row in found} == {
        (row.protocol, row.address, row.port) for row in rows if row.state == "listen"
    }
    assert all(listener.hidden for listener in found)  # processes are not recorded as files


@little_endian
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_replies_of_sock_diag_have_facts_that_procfs_lacks(name):
    def facts(host):
        return {
            row.port: (row.dual_stack, row.backlog, row.queued)
            for row in portrange.listeners(protocol="tcp", host=host)
        }

    assert facts(RecordedHost(name)) == {8000: (False, 128, 1), 8443: (True, 128, 0), 9443: (False, 16, 0)}
    assert facts(WithoutSockDiag(name)) == {8000: (False, None, 1), 8443: (None, None, 0), 9443: (None, None, 0)}


@little_endian
@pytest.mark.parametrize("name", RECORDED)
def test_recorded_replies_of_sock_diag_answer_for_one_port(name):
    host = RecordedHost(name)
    assert [(row.protocol, row.port) for row in portrange.who_listens(8443, host=host)] == [("tcp", 8443)]
    assert not portrange.who_listens(8002, host=host)
    assert [(row.state, row.remote_port > 0) for row in portrange.who_uses(8000, host=host)] == [
        ("listen", False),
        ("established", True),
    ]
    assert [row.state for row in portrange.who_uses(8001, host=host)] == ["bound"]
    assert not portrange.who_uses(8001, host=WithoutSockDiag(name)).sockets


# --- processes -------------------------------------------------------------------------------------------------------

#: NetBSD is checked with real probe sockets of the caller, which these rows do not have.
OF_PROCESSES = [name for name in EVERY if not name.startswith("netbsd")]


@pytest.mark.parametrize("name", OF_PROCESSES)
def test_listeners_of_a_process_include_those_of_descendants_only(name):
    other = listening("tcp", "127.0.0.1", 9)
    table = Rows({7: [], 8: [WEB], 9: [DNS], 10: [other]}, children={7: [8], 8: [9]})
    answer, _ = search(name, table, process=Process(7))
    assert [(listener.port, listener.pid, listener.scope) for listener in answer] == [
        (8080, 8, "process"),
        (8080, 9, "process"),
    ]
    assert answer.incomplete == ()


@pytest.mark.parametrize("name", OF_PROCESSES)
def test_listeners_of_a_process_that_has_ended_are_incomplete(name):
    answer, _ = search(name, Rows({7: [WEB]}, ended=frozenset({7})), process=Process(7))
    assert (tuple(answer), len(answer.incomplete)) == ((), 1)
    replaced, _ = search(name, Rows({7: [WEB]}), process=Process(7, started=1.0))
    assert (tuple(replaced), len(replaced.incomplete)) == ((), 1)


@pytest.mark.parametrize("name", [*ONE_BY_ONE[:1], *LINUX])
def test_listeners_of_a_process_that_cannot_be_inspected_are_incomplete(name):
    answer, _ = search(name, Rows({7: [WEB]}, refusing=frozenset({7})), process=Process(7))
    assert tuple(answer) == ()
    assert "permission denied" in answer.incomplete[0]


def wait_on(name: str, table: Rows, process: int, port: int | None) -> tuple[RecordedHost, object]:
    """Wait once for a process of a recorded host; return the host, and the result or the error."""
    _, host = search(name, table, process=Process(process))
    backend = backend_for(host)
    if not isinstance(backend, PortableBackend):
        backend = PortableBackend(backend_for(RecordedHost("darwin-24.4")).reader, EVERYTHING)
    host.own_backend = replace(backend, table=table, kernel=None)
    try:
        return host, portrange.wait_for_listener(process, port, timeout=0, host=host)
    except NotListeningError as error:
        return host, error


@pytest.mark.parametrize("name", OF_PROCESSES)
def test_waiting_for_a_process_finds_its_listener(name):
    host, found = wait_on(name, Rows({7: [], 8: [WEB]}, children={7: [8]}), 7, None)
    assert [listener.pid for listener in found] == [8]
    assert host.bound == []


@pytest.mark.parametrize("name", OF_PROCESSES)
@pytest.mark.parametrize(
    ("rows", "reason"), [({7: []}, "timeout"), ({8: [WEB]}, "ended"), ({7: [], 8: [WEB]}, "taken")]
)
def test_waiting_for_a_process_binds_nothing(name, rows, reason):
    """A bind probe could take the port from the process that is about to bind it."""
    host, error = wait_on(name, Rows(rows), 7, 8080)
    assert error.reason == reason
    assert host.bound == []
