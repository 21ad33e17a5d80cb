"""Interfaces and users may have names that are no text, or that a terminal would obey."""

from __future__ import annotations

from typing import Any

import pytest
from live.world import World

pytestmark = pytest.mark.usefixtures("namespaces", "sock_diag", "ipv6")

#: What the kernel lets an interface be called (dev_valid_name, net/core/dev.c), and how that is told in JSON.
INTERFACES = {b"v\xff": "v\\xff", b"p\x1b[31m": "p\x1b[31m", "\u202er".encode(): "\u202er", "ü".encode(): "ü"}

#: Called with the name of an interface in hexadecimal digits.
_NETWORK = """
    import fcntl, portrange, struct, time
    unshare(CLONE_NEWNET)
    name = bytes.fromhex(sys.argv[1])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        # struct ifreq with a new name, by SIOCSIFNAME, and with IFF_UP, by SIOCSIFFLAGS (netdevice(7)).
        fcntl.ioctl(any_socket, 0x8923, struct.pack("16s16s8x", b"lo", name))
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh22x", name, 1))
    with open(b"/proc/sys/net/ipv6/conf/" + name + b"/accept_dad", "w") as file:
        file.write("0")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as any_socket:
        # struct in6_ifreq { struct in6_addr; u32 prefixlen; int ifindex; }, by SIOCSIFADDR.
        address = socket.inet_pton(socket.AF_INET6, "fe80::7")
        fcntl.ioctl(any_socket, 0x8916, struct.pack("16sIi", address, 64, 1))
    made = socket.socket(socket.AF_INET6)
    while True:
        try:
            made.bind(("fe80::7", 4711, 0, 1))
            break
        except OSError:
            time.sleep(0.01)  # an address is tentative for a moment
    made.listen()
"""


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.splitlines()) and text.encode("utf-8").decode() == text


@pytest.mark.parametrize(("name", "told"), INTERFACES.items(), ids=["bytes", "escape", "reversed", "letter"])
def test_an_interface_of_any_name_can_be_asked_about_and_told(world: World, name: bytes, told: str):
    found: dict[str, Any] = world.ask(
        _NETWORK
        + """
    kept = [socket.socket(socket.AF_INET6) for _ in range(2)]
    for one in kept:
        one.connect(("fe80::7", 4711, 0, 1))
    usage = portrange.ephemeral_usage()
    [one] = usage.destinations
    place = [each for each in usage.addresses if each.interface][0]
    zones = [os.fsdecode(name), "1"]
    busy = [portrange.why_busy(4711, address=f"fe80::7%{zone}") for zone in zones]
    say({
        "told": [one.interface, place.interface, portrange.who_listens(4711)[0].interface],
        "kinds": [[each.kind for each in answer] for answer in busy],
        "texts": [str(usage), str(one), str(place), usage.explain(), usage._repr_html_(), *map(str, busy[0])],
    })
    """,
        name.hex(),
    )
    assert found["told"] == [told] * 3
    assert [set(kinds) for kinds in found["kinds"]] == [{"listener", "connection"}] * 2
    assert [text for text in found["texts"] if not is_harmless(text)] == []


def test_the_name_of_a_user_may_be_no_text(world: World, tmp_path: Any):
    register = tmp_path / "passwd"
    register.write_bytes(b"root:x:0:0::/:/bin/sh\nf\xfcr:x:65534:65534::/:/bin/sh\n")
    user = world.ask(
        """
        import portrange
        new_network()
        new_mounts()
        bind_mount(sys.argv[1], "/etc/passwd")
        os.setresuid(0, NOBODY, 0)
        made = tcp("127.0.0.1", 4711)
        os.setresuid(0, 0, 0)
        say(portrange.who_listens(4711)[0].user)
        """,
        register,
    )
    assert user == "f\\xfcr"
