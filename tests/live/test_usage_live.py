"""How full the pool is, against a kernel whose pool has eight ports and is used up in every way there is."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import textwrap
from typing import Any

import pytest
from live.world import Child, World

import portrange

pytestmark = pytest.mark.usefixtures("root", "namespaces", "sock_diag")

FIRST, LAST = 40000, 40007
SIZE = LAST - FIRST + 1
POOL = range(FIRST, LAST + 1)
#: The ways to ask on this machine: by the names of backends, None for the platform's own.
BACKENDS = [None, "portable"] if importlib.util.find_spec("psutil") else [None]

#: What the children of these tests do, beyond `live.stage`.
_TOOLS = """
import errno, itertools, os, socket, time
import portrange

kept = []

def setting(name, value):
    descriptor = os.open("/proc/sys/net/ipv4/" + name, os.O_WRONLY)
    os.write(descriptor, str(value).encode())
    os.close(descriptor)

def server(number, address="127.0.0.1"):
    kept.append(tcp(address, number, reuse_address=True))
    return kept[-1]

def until_refused(make):
    "How often it works, and the error after that."
    for done in itertools.count():
        try:
            kept.append(make())
        except OSError as error:
            return [done, errno.errorcode[error.errno]]

def connected(number, address="127.0.0.1", kind=socket.SOCK_STREAM, bind=None, no_port=False, device=""):
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        if device:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
        if no_port:
            made.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
        if bind is not None:
            made.bind((bind, 0))
        made.connect((address, number))
    except OSError:
        made.close()
        raise
    return made

def connect_all(number, **options):
    return until_refused(lambda: connected(number, **options))

def bind_all(address, kind=socket.SOCK_STREAM):
    return until_refused(lambda: bound(address, 0, kind))

def in_time_wait(listening, how_many):
    "Connections that were closed by this side first, as an HTTP client without keep-alive does."
    number = port(listening)
    pairs = [(connected(number), listening.accept()[0]) for _ in range(how_many)]
    for client, accepted in pairs:
        client.close()
        accepted.close()

def usage(protocol="tcp", **options):
    answer = portrange.ephemeral_usage(protocol=protocol, **options)
    return {**answer.to_dict(), "text": answer.explain()}
"""


def start(world: World, program: str, pool: str = f"{FIRST} {LAST}") -> Child:
    """A child in a network of its own that does something, says something, and waits."""
    opening = f"new_network()\n{_TOOLS}\nsetting('ip_local_port_range', {pool!r})\n"
    return world.start(opening + textwrap.dedent(program) + "\nwait()")


def ask(world: World, program: str, pool: str = f"{FIRST} {LAST}") -> Any:
    return start(world, program, pool).hear()


def towards(usage: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    """The destinations: source, endpoint, sockets, limit."""
    return [(one["source"], one["address"], one["sockets"], one["limit"]) for one in usage["destinations"]]


def errno_of(usage: dict[str, Any], call: str) -> str:
    return dict(usage["errors"])[call]


def free_on(usage: dict[str, Any]) -> dict[str, int]:
    return {one["address"]: one["free"] for one in usage["addresses"]}


def paragraph(usage: dict[str, Any]) -> str:
    """The paragraph of the explanation in one line."""
    return usage["text"].partition("\n\n")[0].replace("\n", " ")


# --- TCP ------------------------------------------------------------------------------------------------------------


def test_each_destination_has_the_whole_pool(world: World):
    first, second, usage = ask(
        world,
        "server(9001); server(9002); done = [connect_all(9001), connect_all(9002)]; say([*done, usage()])",
    )
    assert first == second == [SIZE, errno_of(usage, "connect")]
    assert [one["port"] for one in usage["destinations"]] == [9001, 9002]
    assert towards(usage) == [("127.0.0.1", "127.0.0.1", SIZE, SIZE)] * 2
    assert (usage["size"], usage["used"], usage["waiting"], usage["exhausted"]) == (SIZE, SIZE, 0, True)
    assert usage["states"] == [["established", 2 * SIZE]]
    text = paragraph(usage)
    assert "All 8 TCP ports" in text
    assert "from 127.0.0.1 to 127.0.0.1:9001 have all 8 ports that they can have (all live)" in text
    assert "connect() there fails with EADDRNOTAVAIL. So it is with 1 more destination." in text
    assert "TIME-WAIT" not in text
    assert "What helps: fewer connections" in text


def test_a_used_up_destination_leaves_the_others_alone(world: World):
    exhausted, usage, other = ask(
        world, "server(9001); server(9002); say([connect_all(9001), usage(), connect_all(9002)])"
    )
    assert exhausted == other == [SIZE, "EADDRNOTAVAIL"]
    assert towards(usage) == [("127.0.0.1", "127.0.0.1", SIZE, SIZE)]
    assert "Every other destination address or port has the whole pool once more" in paragraph(usage)


def test_each_source_address_has_the_whole_pool(world: World):
    program = """
        server(9001)
        done = [connect_all(9001), connect_all(9001, bind="127.0.0.5", no_port=True)]
        say([*done, usage()])
    """
    first, second, usage = ask(world, program)
    assert first == second == [SIZE, "EADDRNOTAVAIL"]
    assert sorted(towards(usage)) == [(source, "127.0.0.1", SIZE, SIZE) for source in ("127.0.0.1", "127.0.0.5")]


def test_binding_uses_the_pool_up_for_everybody(world: World):
    program = """
        server(9001)
        done = [bind_all("127.0.0.1"), bind_all("127.0.0.2"), bind_all("0.0.0.0"), connect_all(9001)]
        try:
            socket.socket().listen()
        except OSError as error:
            done.append(errno.errorcode[error.errno])
        say([*done, usage(), usage()["text"]])
    """
    one, other, everywhere, connecting, listening, usage, _ = ask(world, program)
    assert one == other == [SIZE, errno_of(usage, "bind")]
    assert everywhere == [0, errno_of(usage, "bind")]
    assert connecting == [0, errno_of(usage, "connect")]
    assert listening == errno_of(usage, "listen")
    assert (usage["used"], usage["waiting"], usage["destinations"]) == (SIZE, SIZE, [])
    assert usage["states"] == [["bound", 2 * SIZE]]
    assert free_on(usage) == {"0.0.0.0": 0, "127.0.0.1": 0, "127.0.0.2": 0}
    text = paragraph(usage)
    assert "no connection gets one: connect() fails with EADDRNOTAVAIL, whatever its destination" in text
    assert "Binding port 0 on 0.0.0.0, 127.0.0.1 or 127.0.0.2 fails with EADDRINUSE" in text


@pytest.mark.usefixtures("bound_inactive")
def test_why_busy_says_the_same_of_each_port(world: World):
    program = """
        server(9001)
        connect_all(9001)
        say([[obstacle.kind for obstacle in portrange.why_busy(number, address="127.0.0.1")] for number in {pool!r}])
        for one in kept:
            one.close()
        kept.clear()
        done = bind_all("127.0.0.1")
        say([[obstacle.kind for obstacle in portrange.why_busy(number, address="127.0.0.1")] for number in {pool!r}])
    """
    child = start(world, program.format(pool=list(POOL)))
    assert child.hear() == [["connection"]] * SIZE
    # What was not accepted yet is reset, so nothing stays in TIME-WAIT.
    assert child.hear() == [["bound"]] * SIZE


def test_binding_finds_the_ports_of_another_address(world: World):
    usage, again = ask(world, 'bind_all("127.0.0.1"); say([usage(), bind_all("127.0.0.2")])')
    assert free_on(usage) == {"0.0.0.0": 0, "127.0.0.1": 0}
    assert again == [SIZE, "EADDRINUSE"]


def test_a_listener_takes_its_port_from_all_connections(world: World):
    done, usage = ask(world, f'server({FIRST + 3}, "127.0.0.9"); server(9001); say([connect_all(9001), usage()])')
    assert done == [SIZE - 1, "EADDRNOTAVAIL"]
    assert towards(usage) == [("127.0.0.1", "127.0.0.1", SIZE - 1, SIZE - 1)]
    assert (usage["waiting"], usage["exhausted"]) == (1, True)
    assert "1 of them belongs to a socket that listens or is bound" in paragraph(usage)


@pytest.mark.usefixtures("ipv6")
def test_a_listener_of_the_other_family_takes_its_port_too(world: World):
    done, usage = ask(world, f'server({FIRST + 3}, "::1"); server(9001); say([connect_all(9001), usage()])')
    assert done == [SIZE - 1, "EADDRNOTAVAIL"]
    assert towards(usage) == [("127.0.0.1", "127.0.0.1", SIZE - 1, SIZE - 1)]


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("address", ["127.0.0.9", "::1"])
def test_a_listener_elsewhere_with_the_port_of_a_connection_does_not_hide_it(world: World, address: str):
    program = f"""
        server(9001)
        kept += [connected(9001) for _ in range(3)]
        listening = server(port(kept[-1]), {address!r})
        before = usage()
        say([before, connect_all(9001), usage(), bind_works("127.0.0.1", port(listening))])
    """
    before, more, after, binding = ask(world, program)
    assert (before["waiting"], before["destinations"][0]["free"]) == (1, SIZE - 3)
    assert towards(before) == [("127.0.0.1", "127.0.0.1", 3, SIZE)]
    assert free_on(before)["127.0.0.1"] == SIZE - 3
    assert more == [SIZE - 3, "EADDRNOTAVAIL"]
    assert not binding
    assert towards(after) == [("127.0.0.1", "127.0.0.1", SIZE, SIZE)]
    assert (after["destinations"][0]["free"], free_on(after)["127.0.0.1"]) == (0, 0)


@pytest.mark.usefixtures("ipv6")
def test_what_a_socket_for_both_families_accepts_over_ipv4_is_no_destination(world: World):
    program = f"""
        listening = server({FIRST + 3}, "::")
        for number in range(9100, 9110):
            kept.append(bound("127.0.0.1", number))
            kept[-1].connect(("127.0.0.1", {FIRST + 3}))
            kept.append(listening.accept()[0])
        say(usage())
    """
    usage = ask(world, program)
    assert (usage["used"], usage["waiting"], usage["destinations"]) == (1, 1, [])
    assert usage["states"] == [["established", 10], ["listen", 1]]


def test_each_interface_that_connections_are_tied_to_has_the_whole_pool(world: World):
    program = """
        server(9001)
        done = [connect_all(9001, device="lo"), connect_all(9001)]
        say([*done, usage()])
    """
    tied, others, usage = ask(world, program)
    assert tied == others == [SIZE, "EADDRNOTAVAIL"]
    assert [(one["interface"], one["sockets"], one["free"]) for one in usage["destinations"]] == [
        ("lo", SIZE, 0),
        (None, SIZE, 0),
    ]
    assert "to 127.0.0.1%lo:9001 have all 8 ports" in paragraph(usage)
    # Who binds without naming an interface meets the sockets of each.
    assert free_on(usage) == {"0.0.0.0": 0, "127.0.0.1": 0}


@pytest.mark.usefixtures("ipv6")
def test_link_local_addresses_have_the_whole_pool_on_each_interface(world: World):
    if shutil.which("ip") is None:
        pytest.skip("no program ip to make links with")
    program = """
        import subprocess
        for number in "01":
            try:
                for words in (
                    f"link add v{number} type veth peer name w{number}",
                    f"link set v{number} addrgenmode none up",
                    f"link set w{number} addrgenmode none up",
                    f"address add fe80::1/64 dev v{number} nodad",
                    f"address add fe80::2/64 dev w{number} nodad",
                ):
                    subprocess.run(["ip", *words.split()], check=True, capture_output=True, text=True)
            except subprocess.CalledProcessError as error:
                say(error.stderr)
                wait()
        server(9001, "::")
        there = [("fe80::2", 9001, 0, socket.if_nametoindex(name)) for name in ("v0", "v1")]
        def connect(end):
            made = socket.socket(socket.AF_INET6)
            made.connect(end)
            return made
        kept += [connect(there[0]), connect(there[1])]
        say([usage(), *(until_refused(lambda: connect(end)) for end in there), usage()])
        forbid_netlink()
        say([usage(), usage(host=portrange.Host(backend="portable"))])
    """
    child = start(world, program)
    said = child.hear()
    if isinstance(said, str):
        pytest.skip(f"no links can be made: {said}")
    before, first, second, after = said
    assert not before["exhausted"]
    assert [(one["address"], one["interface"], one["free"]) for one in before["destinations"]] == [
        ("fe80::2", "v0", SIZE - 1),
        ("fe80::2", "v1", SIZE - 1),
    ]
    assert first == second == [SIZE - 1, "EADDRNOTAVAIL"]
    assert [(one["interface"], one["free"]) for one in after["destinations"]] == [("v0", 0), ("v1", 0)]
    assert {one["place"]: one["used"] for one in after["addresses"] if one["interface"]} == {
        "fe80::1%v0": SIZE,
        "fe80::1%v1": SIZE,
    }
    assert "from fe80::1 to [fe80::2%v0]:9001 have all 8 ports" in paragraph(after)
    for untold in child.hear():
        assert [one["interface"] for one in untold["destinations"]] == [None]
        assert any("interfaces of link-local addresses" in gap for gap in untold["incomplete"])


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize("kind", ["STREAM", "DGRAM"])
def test_connections_over_ipv6_are_in_the_way_of_the_wildcard_of_ipv4(world: World, kind: str):
    protocol = {"STREAM": "tcp", "DGRAM": "udp"}[kind]
    program = f"""
        server(9001, "::1")
        kept += [connected(9001, "::1", kind=socket.SOCK_{kind}) for _ in range({SIZE - 1})]
        answers = [usage({protocol!r}), usage({protocol!r}, host=portrange.Host(backend="portable"))]
        wildcard = bind_all("0.0.0.0", socket.SOCK_{kind})
        kept.pop().close()
        say([*answers, wildcard, bind_all("127.0.0.1", socket.SOCK_{kind})])
    """
    usage, portable, wildcard, address = ask(world, program)
    assert free_on(usage) == free_on(portable) == {"0.0.0.0": 1, "::": 1, "::1": 1}
    assert wildcard == [1, "EADDRINUSE"]
    # One address of IPv4 is another matter.
    assert address == [SIZE, "EADDRINUSE"]


def test_accepted_connections_are_no_destinations(world: World):
    program = f"""
        listening = server({FIRST + 3})
        for number in range(9100, 9120):
            kept.append(bound("127.0.0.1", number))
            kept[-1].connect(("127.0.0.1", {FIRST + 3}))
            kept.append(listening.accept()[0])
        say(usage())
    """
    usage = ask(world, program)
    assert (usage["used"], usage["waiting"], usage["destinations"], usage["destination_count"]) == (1, 1, [], 0)
    assert usage["states"] == [["established", 20], ["listen", 1]]
    assert not usage["exhausted"]


@pytest.mark.usefixtures("ipv6")
def test_ipv4_through_ipv6_counts_as_ipv4(world: World):
    program = """
        server(9001)
        kept += [connected(9001, "::ffff:127.0.0.1") for _ in range(3)]
        say([connect_all(9001), usage()])
    """
    done, usage = ask(world, program)
    assert done == [SIZE - 3, "EADDRNOTAVAIL"]
    assert towards(usage) == [("127.0.0.1", "127.0.0.1", SIZE, SIZE)]


@pytest.mark.usefixtures("ipv6")
def test_ipv6_has_its_own_destinations(world: World):
    done, other, usage = ask(
        world, 'server(9001); server(9001, "::1"); say([connect_all(9001), connect_all(9001, address="::1"), usage()])'
    )
    assert done == other == [SIZE, "EADDRNOTAVAIL"]
    assert sorted(towards(usage)) == [("127.0.0.1", "127.0.0.1", SIZE, SIZE), ("::1", "::1", SIZE, SIZE)]


def test_reserved_ports_are_not_of_the_pool(world: World):
    program = f"""
        setting("ip_local_reserved_ports", "{FIRST + 2}-{FIRST + 3}")
        kept.append(bound("127.0.0.1", {FIRST + 2}))
        server(9001)
        say([connect_all(9001), usage()])
    """
    done, usage = ask(world, program)
    assert done == [SIZE - 2, "EADDRNOTAVAIL"]
    assert (usage["size"], usage["used"], usage["waiting"]) == (SIZE - 2, SIZE - 2, 0)
    assert towards(usage) == [("127.0.0.1", "127.0.0.1", SIZE - 2, SIZE - 2)]


def test_a_pool_that_is_all_reserved_is_explained(world: World):
    usage = ask(world, f'setting("ip_local_reserved_ports", "{FIRST}-{LAST}"); say(usage())')
    assert (usage["size"], usage["used"], usage["share"], usage["exhausted"]) == (0, 0, 1.0, True)
    assert "all of them are set aside" in paragraph(usage)


# --- TIME-WAIT ------------------------------------------------------------------------------------------------------


def test_time_wait_uses_a_destination_up(world: World):
    program = """
        setting("tcp_tw_reuse", 0)
        in_time_wait(server(9001), 8)
        server(9002)
        before = usage()
        say([before, connect_all(9001), bind_all("127.0.0.1"), connect_all(9002)])
    """
    usage, same, binding, other = ask(world, program)
    assert usage["states"] == [["time-wait", SIZE]]
    [one] = usage["destinations"]
    assert (one["sockets"], one["time_wait"], one["reusable"], one["free"]) == (SIZE, SIZE, 0, 0)
    assert same == [0, errno_of(usage, "connect")]
    assert binding == [0, errno_of(usage, "bind")]
    assert other == [SIZE, "EADDRNOTAVAIL"]
    text = paragraph(usage)
    assert "have all 8 ports that they can have (all in TIME-WAIT)" in text
    assert "What helps: keeping connections open" in text


def test_old_time_wait_does_not_hinder_connections_where_the_kernel_uses_its_ports_again(world: World):
    program = """
        setting("tcp_tw_reuse", 0)
        in_time_wait(server(9001), 8)
        say([usage(), connect_all(9001)])
        setting("tcp_tw_reuse", 2)
        deadline = time.monotonic() + 20
        while usage()["destinations"][0]["reusable"] < 8 and time.monotonic() < deadline:
            pass  # The first answer that says so must be true already.
        say([usage(), connect_all(9001)])
    """
    child = start(world, program)
    young, early = child.hear()
    assert (young["destinations"][0]["free"], early) == (0, [0, "EADDRNOTAVAIL"])
    old, late = child.hear()
    [one] = old["destinations"]
    assert (one["time_wait"], one["reusable"], one["free"], one["share"]) == (SIZE, SIZE, SIZE, 0.0)
    assert late == [SIZE, "EADDRNOTAVAIL"]


def test_time_wait_that_does_not_hinder_hides_no_full_destination(world: World):
    program = """
        setting("tcp_tw_reuse", 0)
        for number in range(9002, 9012):
            in_time_wait(server(number), 8)
        server(9001)
        connect_all(9001)
        setting("tcp_tw_reuse", 2)
        deadline = time.monotonic() + 20
        while sum(one["reusable"] for one in usage()["destinations"]) < 72 and time.monotonic() < deadline:
            time.sleep(0.05)
        say([usage(), connect_all(9001), connect_all(9002)])
    """
    usage, full, other = ask(world, program)
    assert (usage["destination_count"], usage["exhausted"]) == (11, True)
    assert [(one["port"], one["free"]) for one in usage["destinations"] if not one["free"]] == [(9001, 0)]
    assert usage["destinations"][0]["port"] == 9001
    assert (full, other) == ([0, "EADDRNOTAVAIL"], [SIZE, "EADDRNOTAVAIL"])
    assert "to 127.0.0.1:9001 have all 8 ports" in paragraph(usage)


def test_live_connections_and_time_wait_are_told_apart(world: World):
    program = """
        setting("tcp_tw_reuse", 0)
        listening = server(9001)
        in_time_wait(listening, 3)
        say([connect_all(9001), usage()])
    """
    done, usage = ask(world, program)
    assert done == [SIZE - 3, "EADDRNOTAVAIL"]
    assert "(5 live, 3 in TIME-WAIT)" in paragraph(usage)


# --- parity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "ports", "state"),
    [
        ("listening = server(9001); kept = [connected(9001) for _ in range(4)]", POOL[::2], "established"),
        ("kept = [bound() for _ in range(4)]", POOL[1::2], "bound"),
    ],
)
def test_connections_take_one_parity_first_and_binding_the_other(world: World, program: str, ports: range, state: str):
    taken, usage = ask(world, f"{program}; say([[port(one) for one in kept], usage()])")
    assert sorted(taken) == list(ports)
    assert (usage["used"], usage["states"], usage["exhausted"]) == (4, [[state, 4]], False)


def test_a_pool_whose_bounds_have_the_same_parity_may_keep_its_last_port_back(world: World):
    program = """
        numbers = range(9001, 9033)
        for number in numbers:
            server(number)
        done = [connect_all(number) for number in numbers]
        say([done, usage()])
    """
    done, usage = ask(world, program, pool=f"{FIRST} {FIRST + 4}")
    assert {count for count, _ in done} <= {4, 5}
    assert {error for _, error in done} == {"EADDRNOTAVAIL"}
    assert usage["size"] == 5
    assert "connect() may overlook the last free port: give its bounds different parity" in paragraph(usage)


@pytest.mark.parametrize(("size", "reserved"), [(3, ""), (5, ""), (9, str(FIRST))])
def test_the_last_port_of_an_odd_pool_may_be_refused_to_bind(world: World, size: int, reserved: str):
    program = f"""
        setting("ip_local_reserved_ports", {reserved!r})
        for _ in range(64):
            kept.clear()
            done = bind_all("127.0.0.1")
            now = usage()
            [place] = [one for one in now["addresses"] if one["address"] == "127.0.0.1"]
            if place["free"]:
                break
        say([done, place, now, [[one.kind, one.detail] for one in portrange.why_busy(0, address="127.0.0.1")]])
    """
    done, place, usage, busy = ask(world, program, pool=f"{FIRST} {FIRST + size - 1}")
    there = size - bool(reserved)
    assert done == [there - 1, "EADDRINUSE"]
    assert (place["used"], place["free"]) == (there - 1, 1)
    text = paragraph(usage)
    assert "Binding port 0 on 0.0.0.0 or 127.0.0.1 may fail with EADDRINUSE although a port is free there." in text
    assert "bind() may overlook the last free port: give its bounds different parity" in text
    assert "Nothing is near" not in text
    # Whether an attempt overlooks it is chance where there are more than three ports.
    assert busy or size > 3
    for kind, detail in busy:
        assert kind == "exhausted"
        assert f"or one alone, which Linux may overlook because {FIRST}-{FIRST + size - 1} is an odd number" in detail


def test_parity_is_not_mentioned_where_it_differs(world: World):
    usage = ask(world, "server(9001); connect_all(9001); say(usage())")
    assert "parity" not in usage["text"]


# --- UDP ------------------------------------------------------------------------------------------------------------


def test_udp_needs_a_port_that_is_free_on_all_addresses(world: World):
    program = """
        done = [bind_all("127.0.0.1", socket.SOCK_DGRAM)]
        done.append(connect_all(9, kind=socket.SOCK_DGRAM))
        unbound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        done.append(until_refused(lambda: unbound.sendto(b"", ("127.0.0.1", 9))))
        say([*done, usage("udp"), usage(), bind_all("127.0.0.2", socket.SOCK_DGRAM)])
    """
    binding, connecting, sending, usage, tcp, other = ask(world, program)
    assert binding == [SIZE, errno_of(usage, "bind")]
    assert connecting == [0, errno_of(usage, "connect")]
    assert sending == [0, errno_of(usage, "sendto")]
    assert other == [SIZE, "EADDRINUSE"]
    assert (usage["used"], usage["states"], usage["exhausted"]) == (SIZE, [["bound", SIZE]], True)
    assert free_on(usage) == {"0.0.0.0": 0, "127.0.0.1": 0}
    assert "connect() or sendto() fails with EAGAIN" in paragraph(usage)
    assert "Binding port 0 on 0.0.0.0 or 127.0.0.1 fails with EADDRINUSE" in paragraph(usage)
    assert tcp["used"] == 0


def test_connected_udp_sockets_have_a_port_each(world: World):
    done, usage = ask(world, 'say([connect_all(9, kind=socket.SOCK_DGRAM), usage("udp")])')
    assert done == [SIZE, errno_of(usage, "connect")]
    assert usage["states"] == [["connected", SIZE]]
    assert towards(usage) == [("127.0.0.1", "127.0.0.1", SIZE, SIZE)]
    assert usage["exhausted"]


def test_ports_of_other_udp_sockets_are_lost_to_a_destination(world: World):
    program = f"""
        for _ in range({SIZE - 1}):
            kept.append(bound("0.0.0.0", kind=socket.SOCK_DGRAM))
        kept.append(connected(9, kind=socket.SOCK_DGRAM))
        say([usage("udp", host=portrange.Host(backend=name)) for name in {BACKENDS!r}])
        say(connect_all(9, kind=socket.SOCK_DGRAM))
    """
    child = start(world, program)
    for usage in child.hear():
        [one] = usage["destinations"]
        assert (one["sockets"], one["limit"], one["free"], one["share"]) == (1, 1, 0, 1.0)
        assert usage["exhausted"]
    more = child.hear()
    assert more == [0, errno_of(usage, "connect")]


@pytest.mark.usefixtures("ipv6")
def test_a_udp_destination_has_as_many_ports_left_as_connect_finds(world: World):
    program = """
        import random
        chosen = random.Random(60861)
        KIND = socket.SOCK_DGRAM
        WAYS = [
            lambda: bound("127.0.0.1", kind=KIND),
            lambda: bound("127.0.0.2", kind=KIND),
            lambda: bound("0.0.0.0", kind=KIND),
            lambda: bound("::1", kind=KIND),
            lambda: bound("::", kind=KIND, v6only=True),
            lambda: bound("::", kind=KIND, v6only=False),
            lambda: bound("::ffff:127.0.0.2", kind=KIND),
            lambda: connected(9, kind=KIND),
            lambda: connected(9, kind=KIND, bind="127.0.0.2"),
            lambda: connected(10, "127.0.0.3", kind=KIND),
            lambda: connected(9, "::1", kind=KIND),
            lambda: connected(9, "::ffff:127.0.0.1", kind=KIND),
        ]
        rounds = []
        for _ in range(60):
            recipe = []
            for _ in range(chosen.randrange(1, 9)):
                way = chosen.randrange(len(WAYS))
                try:
                    kept.append(WAYS[way]())
                except OSError:
                    continue  # nothing is left for that
                recipe.append(way)
            before = usage("udp")
            left = []
            for one in before["destinations"]:
                held = len(kept)
                left.append([one["free"], connect_all(one["port"], address=one["address"], kind=KIND)[0]])
                for made in kept[held:]:
                    made.close()
                del kept[held:]
            rounds.append([recipe, left])
            for made in kept:
                made.close()
            kept.clear()
        say(rounds)
    """
    rounds = ask(world, program)
    assert [one for one in rounds if any(told != found for told, found in one[1])] == []
    figures = {told for _, left in rounds for told, _ in left}
    assert len(figures) > 4, "the worlds are too much alike to tell anything"


@pytest.mark.usefixtures("ipv6")
@pytest.mark.parametrize(("v6only", "left_to_ipv4"), [("False", 0), ("True", SIZE)])
def test_an_ipv6_wildcard_takes_its_port_from_ipv4_unless_it_is_for_ipv6_alone(
    world: World, v6only: str, left_to_ipv4: int
):
    program = f"""
        for _ in range({SIZE}):
            kept.append(bound("::", kind=socket.SOCK_DGRAM, v6only={v6only}))
        say([usage("udp"), bind_all("0.0.0.0", socket.SOCK_DGRAM)])
    """
    usage, ipv4 = ask(world, program)
    assert ipv4 == [left_to_ipv4, "EADDRINUSE"]
    assert free_on(usage) == ({"::": 0} if left_to_ipv4 else {"0.0.0.0": 0, "::": 0})


# --- who asks, and how ----------------------------------------------------------------------------------------------


def test_another_namespace_is_asked_from_outside(world: World):
    child = start(world, "server(9001); say(connect_all(9001))")
    assert child.hear() == [SIZE, "EADDRNOTAVAIL"]
    usage = portrange.ephemeral_usage(host=portrange.Host().in_network(f"/proc/{child.pid}"))
    assert usage.exhausted
    assert [one.endpoint for one in usage.destinations] == ["127.0.0.1:9001"]


def test_a_frozen_host_keeps_its_picture(world: World):
    program = """
        server(9001)
        frozen = portrange.Host().snapshot()
        before = usage(host=frozen)
        connect_all(9001)
        say([before, usage(host=frozen), usage(), usage("udp", host=frozen)])
    """
    before, kept, now, udp = ask(world, program)
    assert before == kept
    assert (kept["used"], now["used"], udp["protocol"]) == (0, SIZE, "udp")


def test_an_ordinary_user_sees_the_same(world: World, open_directory: str):
    program = "server(9001); connect_all(9001); root = usage(); become_nobody(); say([root, usage()])"
    root, nobody = ask(world, program)
    assert root == nobody


def test_without_sock_diag_the_tables_in_procfs_tell_it(world: World):
    program = """
        new_mounts()
        mount_proc()
        setting("tcp_tw_reuse", 0)
        listening = server(9001)
        in_time_wait(listening, 2)
        connect_all(9001)
        kept.append(bound("::", kind=socket.SOCK_DGRAM))
        before = usage(), usage("udp")
        forbid_netlink()
        say([*before, usage(), usage("udp")])
    """
    tcp, udp, tcp_by_table, udp_by_table = ask(world, program)
    assert tcp["incomplete"] == udp["incomplete"] == []
    [untold] = udp_by_table.pop("incomplete")
    assert "IPV6_V6ONLY" in untold
    for usage in (tcp, tcp_by_table, udp, udp_by_table):
        del usage["text"]
    gaps = tcp_by_table.pop("incomplete")
    assert any("bound and do not listen" in gap for gap in gaps)
    assert any("TIME-WAIT" in gap for gap in gaps)
    assert tcp_by_table == {name: value for name, value in tcp.items() if name != "incomplete"}
    assert udp_by_table == {name: value for name, value in udp.items() if name != "incomplete"}


def test_psutil_tells_the_same_destinations(world: World):
    pytest.importorskip("psutil")
    program = """
        setting("tcp_tw_reuse", 0)
        listening = server(9001)
        in_time_wait(listening, 2)
        connect_all(9001)
        say([usage(), usage(host=portrange.Host(backend="portable"))])
    """
    usage, portable = ask(world, program)
    assert portable["destinations"] == usage["destinations"]
    assert portable["addresses"] == usage["addresses"]
    assert portable["used"] == usage["used"]


class NewRequestsOnly(portrange.Host):
    """A kernel that does not know the request of Linux 2.6."""

    def sock_diag(self, request: bytes) -> Any:
        if int.from_bytes(request[4:6], sys.byteorder) != 20:
            raise OSError(22, os.strerror(22))
        return super().sock_diag(request)


@pytest.mark.usefixtures("ipv6")
def test_families_are_asked_one_by_one_where_both_at_once_is_refused(world: World):
    child = start(
        world, 'server(9001); server(9001, "::1"); connect_all(9001); connect_all(9001, address="::1"); say(1)'
    )
    child.hear()
    network = f"/proc/{child.pid}"
    usage = portrange.ephemeral_usage(host=portrange.Host().in_network(network))
    assert len(usage.destinations) == 2
    assert portrange.ephemeral_usage(host=NewRequestsOnly().in_network(network)) == usage


@pytest.mark.parametrize("number", [9001, 40000], ids=["opened", "accepted as well"])
def test_memory_does_not_grow_with_the_connections_to_a_destination(world: World, number: int):
    program = f"""
        import tracemalloc
        listening = server({number})
        def peak(connections):
            while len(kept) < 2 * connections:
                kept.extend((connected({number}), listening.accept()[0]))
            usage()
            tracemalloc.start()
            portrange.ephemeral_usage()
            top = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return top
        say([peak(4000), peak(6500), usage()["destination_count"], usage()["destinations"][0]["sockets"]])
    """
    few, many, destinations, sockets = ask(world, program, pool="32768 60999")
    assert destinations == 1
    assert sockets >= 6499
    # Below 4,000 connections the datagrams of the reply still grow. A single object for each socket would take 125,000
    # bytes more.
    assert many - few < 50_000
