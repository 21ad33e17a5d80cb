"""Names of interfaces and users can be invalid UTF-8 or contain terminal escapes."""

from __future__ import annotations

from typing import Any

import pytest
from live.world import World

pytestmark = pytest.mark.usefixtures("namespaces", "sock_diag", "ipv6")

#: Interface names that the kernel allows (dev_valid_name, net/core/dev.c), and their form in JSON.
INTERFACES = {b"v\xff": "v\\xff", b"p\x1b[31m": "p\x1b[31m", "\u202er".encode(): "\u202er", "ü".encode(): "ü"}

#: The argument is the name of an interface in hexadecimal digits.
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
    server = socket.socket(socket.AF_INET6)
    while True:
        try:
            server.bind(("fe80::7", 4711, 0, 1))
            break
        except OSError:
            time.sleep(0.01)  # the address is still tentative
    server.listen()
"""


def is_harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.splitlines()) and text.encode("utf-8").decode() == text


@pytest.mark.parametrize(("name", "shown"), INTERFACES.items(), ids=["bytes", "escape", "reversed", "letter"])
def test_interface_with_any_name_can_be_queried_and_reported(world: World, name: bytes, shown: str):
    found: dict[str, Any] = world.ask(
        _NETWORK
        + """
    connections = [socket.socket(socket.AF_INET6) for _ in range(2)]
    for connection in connections:
        connection.connect(("fe80::7", 4711, 0, 1))
    usage = portrange.ephemeral_usage()
    [destination] = usage.destinations
    local = [address for address in usage.addresses if address.interface][0]
    zones = [os.fsdecode(name), "1"]
    busy = [portrange.why_busy(4711, address=f"fe80::7%{zone}") for zone in zones]
    say({
        "interfaces": [destination.interface, local.interface, portrange.who_listens(4711)[0].interface],
        "kinds": [[obstacle.kind for obstacle in obstacles] for obstacles in busy],
        "texts": [str(usage), str(destination), str(local), usage.explain(), usage._repr_html_(), *map(str, busy[0])],
    })
    """,
        name.hex(),
    )
    assert found["interfaces"] == [shown] * 3
    assert [set(kinds) for kinds in found["kinds"]] == [{"listener", "connection"}] * 2
    assert [text for text in found["texts"] if not is_harmless(text)] == []


def test_user_name_that_is_not_utf_8_is_escaped(world: World, tmp_path: Any):
    register = tmp_path / "passwd"
    register.write_bytes(b"root:x:0:0::/:/bin/sh\nf\xfcr:x:65534:65534::/:/bin/sh\n")
    user = world.ask(
        """
        import portrange
        new_network()
        new_mounts()
        bind_mount(sys.argv[1], "/etc/passwd")
        os.setresuid(0, NOBODY, 0)
        server = tcp("127.0.0.1", 4711)
        os.setresuid(0, 0, 0)
        say(portrange.who_listens(4711)[0].user)
        """,
        register,
    )
    assert user == "f\\xfcr"
