"""JupyterLab with a notebook that the user did not run: JupyterLab sanitizes the HTML of its outputs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from notebooks.browser import Page

#: All cells are rendered, also those outside the window, and no request for news is made.
_SETTINGS: dict[str, dict[str, Any]] = {
    "notebook-extension/tracker": {"windowingMode": "none"},
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
}


@contextmanager
def notebook_in_jupyterlab(
    program: str, directory: Path, notebook: Any, theme: str, *, width: int, height: int
) -> Iterator[Page]:
    """Open a notebook in the browser *program*, in JupyterLab with its own settings and no trusted notebook."""
    if find_spec("jupyterlab") is None:
        pytest.skip("jupyterlab is not installed: pip install --group notebook")
    import nbformat

    settings = {**_SETTINGS, "apputils-extension/themes": {"theme": theme, "adaptive-theme": False}}
    for name, values in settings.items():
        path = directory / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")
    files = directory / "files"
    files.mkdir()
    nbformat.write(notebook, files / "tour.ipynb")
    with _server(directory, files) as url:
        page = Page(program, directory, f"{url}doc/tree/tour.ipynb", width, height)
        try:
            outputs = sum("text/html" in output.get("data", ()) for cell in notebook.cells for output in _outputs(cell))
            page.wait_for(
                f"document.querySelectorAll('.jp-OutputArea-output.jp-RenderedHTMLCommon').length >= {outputs}"
            )
            # The style sheet of the theme is loaded last, and the splash screen fades out.
            page.wait_for(f"document.body.dataset.jpThemeName === {theme!r}")
            page.wait_for("!document.getElementById('jupyterlab-splash')")
            yield page
        finally:
            page.close()


def _outputs(cell: Any) -> Any:
    return cell.get("outputs", ())


@contextmanager
def _server(directory: Path, files: Path) -> Iterator[str]:
    """Run a JupyterLab server and yield its URL."""
    homes = ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    environment = {
        **os.environ,
        **{name: str(directory / name.lower()) for name in homes},
        "JUPYTERLAB_SETTINGS_DIR": str(directory / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(directory / "workspaces"),
    }
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = {"ip": "127.0.0.1", "port": port, "root_dir": files, "allow_root": True, "open_browser": False}
    arguments = [f"--ServerApp.{name}={value}" for name, value in options.items()]
    with open(directory / "server.log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *arguments, "--IdentityProvider.token="],
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        # The server writes this file when it listens; it may have taken another port.
        information = directory / "jupyter_runtime_dir" / f"jpserver-{server.pid}.json"
        end = time.monotonic() + 90
        while not information.exists() or not information.read_text(encoding="utf-8").endswith("}"):
            assert server.poll() is None, (directory / "server.log").read_text(encoding="utf-8")
            assert time.monotonic() < end, (directory / "server.log").read_text(encoding="utf-8")
            time.sleep(0.2)
        yield json.loads(information.read_text(encoding="utf-8"))["url"]
    finally:
        server.terminate()
        server.wait(30)
