"""Add the files of the port explorer to the built site: Pyodide, portrange, and the recorded machines."""

from __future__ import annotations

import shutil
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sphinx.util import logging

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT / "tests" / "platforms"), str(HERE)]

import emscripten  # noqa: E402 - in the folder above
from machine import FailedError  # noqa: E402

#: The recorded machines of pages.py, which is importable only in the browser.
MACHINES = ("linux-6.18", "darwin-24.4", "win32-10.0")
#: What the browser loads of the npm package.
PYODIDE = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")


def add_files(app: Any, error: Exception | None) -> None:
    """Handle Sphinx's event "build-finished": write the folder that the page loads its files from."""
    if error or app.builder.format != "html":
        return
    target = Path(app.outdir) / "_static" / "explorer"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "explorer.js", target)
    try:
        pyodide = _pyodide(HERE.parent / "_build" / f"pyodide-{emscripten.NEWEST}")
    except (FailedError, OSError) as reason:
        logging.getLogger(__name__).info("the port explorer is without Pyodide, which npm cannot install: %s", reason)
        return
    for name in PYODIDE:
        shutil.copy(pyodide / name, target)
    with zipfile.ZipFile(target / "portrange.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, name in _files():
            archive.write(path, name)


def _pyodide(directory: Path) -> Path:
    """Return the npm package, which is kept for the next build."""
    package = directory / "node_modules" / "pyodide"
    if not all((package / name).exists() for name in PYODIDE):
        shutil.rmtree(directory, ignore_errors=True)
        directory.parent.mkdir(parents=True, exist_ok=True)
        emscripten.install(directory, emscripten.NEWEST)
    return package


def _files() -> Iterable[tuple[Path, str]]:
    """Yield files and their names in the archive."""
    hosts = [ROOT / "tests" / "hosts" / name for name in MACHINES]
    for directory in (ROOT / "portrange", *hosts):
        base = ROOT if directory.name == "portrange" else ROOT / "tests"
        for path in sorted(directory.rglob("*")):
            if path.is_file() and path.suffix != ".pyc":
                yield path, path.relative_to(base).as_posix()
    for path in (ROOT / "tests" / "recorded.py", ROOT / "tests" / "fakes.py", HERE / "pages.py"):
        yield path, path.name
