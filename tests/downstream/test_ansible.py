"""An Ansible module with a vendored copy of portrange, beside `listen_ports_facts` of community.general.

Both return facts with the same names. The module of community.general runs ss; pip downloads it in the package
`ansible`, of which only this collection is unpacked.
"""

from __future__ import annotations

import json
import operator
import os
import shutil
import subprocess
import sys
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from live.world import World

ROOT = Path(__file__).parents[2]
PLAY = Path(__file__).parent / "ansible"
COLLECTION = "ansible_collections/community/general"
MODULE = f"{COLLECTION}/plugins/modules/listen_ports_facts.py"

#: Listeners of both families and protocols, owned by three processes, and sockets that do not listen. One process is of
#: another user and has a listener of its own.
SERVE = """
    new_network()
    held = [tcp("127.0.0.1"), tcp("0.0.0.0"), tcp("::1"), tcp("::", v6only=False), udp("127.0.0.1"), udp("::1")]
    client = socket.create_connection(held[0].getsockname())
    connected = bound(kind=socket.SOCK_DGRAM)
    connected.connect(held[4].getsockname())
    def serve():
        become_nobody()
        own = tcp("127.0.0.1")
        say(None)
        wait()
    fork(wait)
    fork(serve)
    wait()
"""


@pytest.fixture(scope="session")
def collections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the module of community.general."""
    if find_spec("ansible") is None:
        pytest.skip("ansible-core is not installed: pip install --group downstream")
    for program in ("nsenter", "ps", "ss"):
        if shutil.which(program) is None:
            pytest.skip(f"the program {program!r} is not on the PATH")
    directory = tmp_path_factory.mktemp("collections")
    wanted = ("--no-deps", f"--dest={directory}", "ansible")
    subprocess.run([sys.executable, "-m", "pip", "download", "-q", *wanted], check=True, timeout=300)
    (wheel,) = directory.glob("ansible-*.whl")
    with zipfile.ZipFile(wheel) as files:
        files.extractall(directory, [MODULE, f"{COLLECTION}/MANIFEST.json", f"{COLLECTION}/meta/runtime.yml"])
    wheel.unlink()
    return directory


@pytest.fixture
def facts(namespaces: None, world: World, collections: Path, tmp_path: Path) -> dict[str, dict[str, list[Any]]]:
    """The facts of both modules about the same network namespace, by module and protocol."""
    shutil.copytree(PLAY, tmp_path, dirs_exist_ok=True)
    shutil.copytree(
        ROOT / "portrange", tmp_path / "module_utils/portrange", ignore=shutil.ignore_patterns("__pycache__")
    )
    served = world.start(SERVE)
    served.hear()
    enter = ("nsenter", f"--net=/proc/{served.pid}/ns/net")
    extra = json.dumps({"facts": str(tmp_path / "facts.json"), "ansible_python_interpreter": sys.executable})
    done = subprocess.run(
        [*enter, Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "-e", extra, "play.yml"],
        cwd=tmp_path,
        env=environment(tmp_path, collections),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, dict[str, list[Any]]] = json.loads((tmp_path / "facts.json").read_text(encoding="utf-8"))
    return found


def environment(home: Path, collections: Path) -> dict[str, str]:
    """Return the environment of the play, whose module imports the copy in `module_utils`."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return kept | {
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_HOME": str(home / "home"),
        "ANSIBLE_LIBRARY": str(home / "library"),
        "ANSIBLE_MODULE_UTILS": str(home / "module_utils"),
        "LC_ALL": "C.UTF-8",
    }


def test_vendored_copy_returns_the_facts_of_listen_ports_facts(facts: dict[str, Any]):
    key = operator.itemgetter("port", "address", "pid")
    for name, number in (("tcp_listen", 4 * 3 + 1), ("udp_listen", 2 * 3)):
        vendored, general = (sorted(facts[module][name], key=key) for module in ("vendored", "general"))
        assert len(vendored) == number
        assert [*map(comparable, vendored)] == [*map(comparable, general)]
        for ours, theirs in zip(vendored, general, strict=True):
            # Both add the ticks since the boot to its time, which the kernel and ps round differently.
            assert abs(seconds(ours) - seconds(theirs)) <= 1


def comparable(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry without its start time, and with the address of a socket for both families as "::"."""
    return {**entry, "stime": "", "address": "::" if entry["address"] == "*" else entry["address"]}


def seconds(entry: dict[str, Any]) -> float:
    return time.mktime(time.strptime(entry["stime"]))
