"""Sockets through psutil on Linux, against real processes: also with the narrow view that other systems give."""

from __future__ import annotations

import pytest
from live.world import World

import portrange
from portrange import Host

HOST = Host(backend="portable")

#: Ask as an ordinary user with what macOS and the BSDs let psutil see: processes one by one, no table of the system.
NARROW = """
    import psutil
    from portrange import SourceError
    from portrange._backends.base import SocketQuery
    from portrange._backends.linux.settings import SETTINGS
    from portrange._backends.portable.backend import PortableBackend
    from portrange._backends.portable.view import ONE_BY_ONE
    from portrange import Host

    def ask(port, *protocols):
        try:
            answer = PortableBackend(SETTINGS, ONE_BY_ONE).listeners(Host(), SocketQuery(port, protocols or None))
        except SourceError as error:
            return str(error)
        return {"true": bool(answer), "incomplete": answer.incomplete, "all": answer.to_dicts()}

    become_nobody()
"""


def test_all_holders_of_a_shared_socket_oldest_first(world: World):
    child = world.start("made = tcp(); say([port(made), os.getpid(), fork(wait), fork(wait)]); wait()")
    port, *pids = child.hear()
    (one,) = portrange.who_listens(port, host=HOST)
    assert [owner.pid for owner in one.owners] == pids


def test_a_group_that_shares_a_port_is_one_listener(world: World):
    first = world.start("made = tcp(reuse_port=True); say(port(made)); wait()")
    port = first.hear()
    second = world.start("made = tcp('127.0.0.1', int(sys.argv[1]), reuse_port=True); say(0); wait()", port)
    second.hear()
    (one,) = portrange.who_listens(port, host=HOST)
    assert {owner.pid for owner in one.owners} == {first.pid, second.pid}


def test_an_ipv4_address_within_ipv6_is_one_of_ipv4(world: World, ipv6: None):
    port = world.start("made = tcp('::ffff:127.0.0.1', v6only=False); say(port(made)); wait()").hear()
    (one,) = portrange.who_listens(port, host=HOST)
    assert (one.family, one.address, one.dual_stack) == ("ipv4", "127.0.0.1", False)


@pytest.mark.parametrize("program", ["tcp()", "udp()", "tcp('::1')", "udp('0.0.0.0')", "tcp('::', v6only=True)"])
def test_it_agrees_with_the_kernels_own_answer(world: World, program: str):
    child = world.start(f"made = {program}; say([port(made), fork(wait)]); wait()")
    port, _ = child.hear()
    native, portable = portrange.who_listens(port, exhaustive=True), portrange.who_listens(port, host=HOST)
    facts = [
        [(one.protocol, one.family, one.address, one.port, one.owners) for one in answer]
        for answer in (native, portable)
    ]
    assert [fact[:4] for fact in facts[0]] == [fact[:4] for fact in facts[1]]
    for ours, theirs in zip(facts[0][0][4], facts[1][0][4], strict=True):
        assert (ours.pid, ours.name, ours.cmdline, ours.exe, ours.user) == (
            theirs.pid,
            theirs.name,
            theirs.cmdline,
            theirs.exe,
            theirs.user,
        )
        assert ours.started == pytest.approx(theirs.started, abs=2)


def test_a_connection_that_has_ended_is_shown_as_such(world: World):
    child = world.start("""
        made = tcp()
        number = port(made)
        client = socket.create_connection(made.getsockname())
        accepted, _ = made.accept()
        for end in (accepted, client, made):
            end.close()
        say(number)
        wait()
    """)
    port = child.hear()
    reasons = portrange.why_busy(port, address="127.0.0.1", host=HOST)
    assert [(reason.kind, reason.socket.hidden if reason.socket else None) for reason in reasons] == [
        ("time-wait", False)
    ]


def test_for_an_ordinary_user_a_listener_is_hidden_and_never_left_out(world: World, root: None):
    port = world.start("made = tcp(); say(port(made)); wait()").hear()
    program = """
        import psutil, portrange
        become_nobody()
        say(portrange.who_listens(int(sys.argv[1]), host=portrange.Host(backend="portable")).to_dicts())
    """
    (one,) = world.ask(program, port)
    assert (one["port"], one["owners"], one["hidden"]) == (port, [], True)


def test_with_a_narrow_view_a_strangers_listener_is_found_by_binding(world: World, root: None):
    port = world.start("made = tcp('0.0.0.0'); say(port(made)); wait()").hear()
    answer = world.ask(NARROW + "\n    say(ask(int(sys.argv[1])))", port)
    (one,) = answer["all"]
    assert (one["protocol"], one["port"], one["address"], one["hidden"]) == ("tcp", port, "", True)
    assert [gap for gap in answer["incomplete"] if f"tcp port {port}" in gap]


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_strangers_listener_on_one_address_is_found_too(
    world: World, root: None, ipv6: None, address: str, kind: str
):
    port = world.start(f"made = {kind}({address!r}); say(port(made)); wait()").hear()
    answer = world.ask(NARROW + "\n    say(ask(int(sys.argv[1]), sys.argv[2]))", port, kind)
    assert [(one["family"], one["hidden"]) for one in answer["all"]] == [("ipv6" if ":" in address else "ipv4", True)]


def test_with_a_narrow_view_binding_proves_that_nobody_listens(world: World, root: None):
    answer = world.ask(NARROW + "\n    made = tcp(); number = port(made); made.close(); say(ask(number))")
    assert answer == {"true": False, "incomplete": [], "all": []}


def test_with_a_narrow_view_ones_own_listener_is_named(world: World, root: None):
    answer = world.ask(NARROW + "\n    made = tcp(); say([os.getpid(), ask(port(made), 'tcp')])")
    pid, found = answer
    assert [[owner["pid"] for owner in one["owners"]] for one in found["all"]] == [[pid]]
    assert len(found["incomplete"]) == 1


def test_with_a_narrow_view_a_privileged_port_stays_unknown(world: World, namespaces: None):
    message = world.ask("new_network()\n" + NARROW.replace("\n    ", "\n") + "\nsay(ask(80, 'tcp'))")
    assert "psutil: who listens on tcp port 80" in message
    assert "superuser" in message


def test_with_a_narrow_view_the_superuser_sees_all(world: World, namespaces: None):
    program = "new_network(); new_processes()\n" + NARROW.replace("become_nobody()", "").replace("\n    ", "\n")
    answer = world.ask(program + "\nmade = tcp('127.0.0.1', 80); say([ask(80), ask(81)])")
    here, nobody = answer
    assert [one["port"] for one in here["all"]] == [80]
    assert here["incomplete"] == []
    assert nobody == {"true": False, "incomplete": [], "all": []}
