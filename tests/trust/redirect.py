"""A NAT rule leads a connection past the listener that `who_answers` names.

Run in an empty network namespace, as root: ``unshare --net python tests/trust/redirect.py``. Prints one JSON object:
the ports of the named listener and of the server that a client reaches, before and after a redirect is added.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess

import portrange

RULES = """
add table ip nat
add chain ip nat output {{ type nat hook output priority -100; }}
add rule ip nat output tcp dport {} redirect to :{}
"""


def named(port: int) -> list[int]:
    [answer] = portrange.who_answers(port, "127.0.0.1")
    return [listener.port for listener in answer.listeners]


def reached(port: int, servers: list[socket.socket]) -> list[int]:
    with socket.create_connection(("127.0.0.1", port)):
        readable, _, _ = select.select(servers, [], [], 20)
        for server in readable:
            server.accept()[0].close()
    return [server.getsockname()[1] for server in readable]


def main() -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        port, other = first.getsockname()[1], second.getsockname()[1]
        before = {"named": named(port), "reached": reached(port, [first, second])}
        subprocess.run(["nft", "-f", "-"], input=RULES.format(port, other), text=True, check=True)
        after = {"named": named(port), "reached": reached(port, [first, second])}
    print(json.dumps({"port": port, "other": other, "before": before, "after": after}))


if __name__ == "__main__":
    main()
