"""The servers that localhost reaches, on the page of a port, with a name that has both loopback addresses."""

from __future__ import annotations

import pytest
from live.world import World

PAGE = """
new_mounts()
new_network()
hosts = os.path.join(sys.argv[1], "hosts")
with open(hosts, "w") as file:
    file.write("127.0.0.1 localhost\\n::1 localhost\\n")
bind_mount(hosts, "/etc/hosts")
reader, writer = os.pipe()
def serve(address, kind):
    made = {"tcp": tcp, "udp": udp}[kind](address, 8080)
    os.write(writer, b"x")
    wait()
pids = [fork(lambda: serve(address, kind)) for address, kind in json.loads(sys.argv[2])]
for _ in pids:
    os.read(reader, 1)
import contextlib, io
from portrange._cli import run
with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as remarks:
    status = run(json.loads(sys.argv[3]), "")
say([pids, output.getvalue(), remarks.getvalue(), status])
"""


def page(world: World, directory: object, servers: str, arguments: str) -> tuple[list[int], str, str, int]:
    pids, output, remarks, status = world.ask(PAGE, directory, servers, arguments)
    return pids, output, remarks, status


@pytest.mark.usefixtures("namespaces", "sock_diag")
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_page_names_both_servers_if_localhost_is_contested(world: World, tmp_path: object, kind: str):
    pids, output, _, _ = page(world, tmp_path, f'[["127.0.0.1", "{kind}"], ["::1", "{kind}"]]', '["8080"]')
    text = " ".join(output.split())  # long names and pids wrap
    assert f" Localhost {kind} reaches " in text
    assert f"({pids[0]}) at 127.0.0.1" in text
    assert f"({pids[1]}) at ::1" in text


@pytest.mark.usefixtures("namespaces", "sock_diag")
@pytest.mark.parametrize(
    "servers",
    [
        "[]",
        '[["127.0.0.1", "tcp"]]',
        '[["127.0.0.1", "tcp"], ["::1", "udp"]]',
        '[["127.0.0.1", "tcp"], ["127.0.0.2", "tcp"]]',
    ],
)
def test_page_does_not_name_servers_if_localhost_leads_to_one_owner(world: World, tmp_path: object, servers: str):
    _, output, _, _ = page(world, tmp_path, servers, '["8080"]')
    assert output.startswith("Port 8080")
    assert "Localhost" not in output


@pytest.mark.usefixtures("namespaces", "sock_diag")
def test_answers_prints_a_remark_if_localhost_is_contested(world: World, tmp_path: object):
    pids, output, remarks, status = page(
        world, tmp_path, '[["127.0.0.1", "tcp"], ["::1", "tcp"]]', '["answers", "8080"]'
    )
    assert status == 0
    assert {f"({pid})" for pid in pids} <= set(output.split())
    assert "different owners" in remarks
