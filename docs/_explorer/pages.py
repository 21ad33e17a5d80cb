"""The pages of the port explorer; runs in the browser, with the recorded machines of the tests."""

from __future__ import annotations

from recorded import RecordedHost

import portrange
from portrange._render.html import escaped

MACHINES = {"linux": "linux-6.18", "macos": "darwin-24.4", "windows": "win32-10.0"}


def page_of(query: str, system: str) -> str:
    """Return the page of a port number or of a service name as HTML, for "linux", "macos" or "windows"."""
    text = query.strip()
    if text.isascii() and text.isdigit() and int(text[:7]) <= 65535:
        return _page(int(text), system)
    if text.isascii() and text.lstrip("+-").isdigit():
        return "<p>Ports are whole numbers from 0 to 65535.</p>"
    found = portrange.services(text) if text else ()
    if not found:
        return f"<p>IANA's registry has no service with the name “{escaped(text)}”.</p>"
    return found._repr_html_() + _page(found[0].first, system)


def _page(port: int, system: str) -> str:
    return portrange.classify(port, host=RecordedHost(MACHINES[system]))._repr_html_()
