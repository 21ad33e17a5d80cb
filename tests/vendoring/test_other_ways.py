"""Other ways to ship the package: the `vendoring` tool, a zip file, and a machine without its dependencies."""

from __future__ import annotations

import filecmp
import os
import shutil
import socket
import subprocess
import sys
import zipapp
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from docs.pages import blocks, run_script

import portrange

PACKAGE = Path(portrange.__file__).parent
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "howto" / "vendoring"

#: Runs every query on a real listener, and prints the loaded modules that must not be loaded.
RUN_ALL_QUERIES = """
import os, pickle, socket, sys
from acme._vendor import portrange

server = socket.create_server(("127.0.0.1", 0))
port = server.getsockname()[1]
[listener] = portrange.who_listens(port)
assert listener.pid == os.getpid(), listener
assert listener.port in [row.port for row in portrange.listeners()]
[obstacle] = portrange.why_busy(port, address="127.0.0.1")
assert obstacle.kind == "listener"
assert portrange.classify(443).name == "https"
assert portrange.services("https")[0].first == 443
assert len(portrange.ephemeral_range()) > 0
assert portrange.ephemeral_usage().used >= 1
assert portrange.suggest_port("acme") == portrange.suggest_port("acme")
assert "<table" in portrange.listeners()._repr_html_()
assert pickle.loads(pickle.dumps(listener)) == listener
print(type(listener).__module__, sorted({"portrange", "psutil", "typing_extensions"} & set(sys.modules)))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Copy what a wheel is built from."""
    source = tmp_path / "portrange"
    shutil.copytree(PACKAGE, source / "portrange", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "share", source / "share")
    (source / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "metadata.py", source / "docs")
    return source


def test_documented_commands_of_vendoring_make_a_working_copy(source, bare, tmp_path):
    for needed in ("pip", "hatchling", "vendoring"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: pip install --group vendoring")
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project)
    subprocess.run(["git", "init", "-q", project], check=True, timeout=300)
    [commands] = [block.text for block in blocks(ROOT / "docs" / "vendoring.md") if "vendoring sync" in block.text]
    assert f"../{source.name}\n" in commands
    # pip uses no index: hatchling is installed here. The value 0 turns build isolation off.
    environment = {**os.environ, "PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    run_script(commands, project, environment, timeout=300)
    copy = project / "acme" / "_vendor" / "portrange"
    sources = [str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*") if path.suffix in (".py", ".typed")]
    assert filecmp.cmpfiles(PACKAGE, copy, sources, shallow=False) == (sources, [], [])
    assert (copy / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert sorted(path.name for path in copy.parent.iterdir() if path.suffix != ".pyi") == [
        "__init__.py",
        "portrange",
        "vendor.txt",
    ]
    interpreter = bare()
    interpreter.add_to_path(project)
    output = interpreter.output(RUN_ALL_QUERIES, cwd=tmp_path)
    assert output == "acme._vendor.portrange._answers.listener []"


def test_copy_passes_mypy_strict(vendored):
    pytest.importorskip("mypy", reason="mypy is not installed: pip install --group vendoring")
    (vendored / "use.py").write_text("from acme._vendor import portrange\nprint(portrange.who_listens(80))\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "use.py"], check=False, capture_output=True, text=True, cwd=vendored
    )
    assert done.returncode == 0, done.stdout


def test_package_works_from_a_zip_file(bare, vendored, tmp_path):
    archive = tmp_path / "acme.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted((vendored / "acme").rglob("*.py")):
            target.write(path, path.relative_to(vendored))
    shutil.rmtree(vendored / "acme")
    interpreter = bare()
    interpreter.add_to_path(archive)
    program = RUN_ALL_QUERIES + "print(portrange.__file__)"
    output = interpreter.output(program, cwd=tmp_path)
    assert output.splitlines() == [
        "acme._vendor.portrange._answers.listener []",
        f"{archive}/acme/_vendor/portrange/__init__.py",
    ]
    page = interpreter.run("-m", "acme._vendor.portrange", "443", cwd=tmp_path)
    assert page.stdout.startswith("Port 443 "), page.stderr


def oldest_python() -> str | None:
    """Return the oldest supported Python on this machine, if it is older than the running one."""
    versions = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    for minor in range(10, sys.version_info.minor):
        name = f"python3.{minor}"
        # A command on PATH can be a wrapper that starts no interpreter, so try it.
        installed = versions.glob(f"3.{minor}.*/bin/{name}") if os.access(versions, os.R_OK) else ()
        for candidate in (*installed, shutil.which(name)):
            if candidate is not None and _starts(str(candidate), minor):
                return str(candidate)
    return None


def _starts(python: str, minor: int) -> bool:
    program = f"import sys, venv, ctypes; sys.exit(sys.version_info[:2] != (3, {minor}))"
    return subprocess.run([python, "-c", program], check=False, capture_output=True, timeout=300).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems need psutil")
@pytest.mark.parametrize("which", ["running", "oldest"])
def test_linux_needs_neither_psutil_nor_typing_extensions(which, bare, vendored):
    python = sys.executable if which == "running" else oldest_python()
    if python is None:
        pytest.skip("no Python older than the running one on this machine")
    interpreter = bare(python)
    interpreter.add_to_path(vendored)
    for missing in ("psutil", "typing_extensions"):
        program = f"import importlib.util as u; print(u.find_spec({missing!r}))"
        assert interpreter.output(program, cwd=vendored) == "None"
    output = interpreter.output(RUN_ALL_QUERIES, cwd=vendored)
    assert output == "acme._vendor.portrange._answers.listener []"


def test_portable_backend_without_psutil_raises_source_error(bare, vendored):
    interpreter = bare()
    interpreter.add_to_path(vendored)
    output = interpreter.output(
        """
        from acme._vendor import portrange
        try:
            portrange.listeners(host=portrange.Host(backend="portable"))
        except portrange.PortrangeError as error:
            print(type(error).__name__, error)
        """,
        cwd=vendored,
    )
    assert output.startswith("SourceError psutil:"), output


def test_exit_status_survives_zipapp(tmp_path):
    archive = tmp_path / "portrange.pyz"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "tree" / "portrange", ignore=ignored)
    zipapp.create_archive(tmp_path / "tree", archive, main="portrange.__main__:main")
    with socket.create_server(("127.0.0.1", 0)) as server:
        busy = [sys.executable, str(archive), "busy", str(server.getsockname()[1])]
        assert subprocess.run(busy, check=False, capture_output=True).returncode == 1
    assert subprocess.run([sys.executable, str(archive), "range"], check=False, capture_output=True).returncode == 0
