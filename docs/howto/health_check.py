"""Check that the right program listens on a port.

    python health_check.py 8080 gunicorn

Exit status: 0 healthy, 1 another program or no program listens, 2 unknown.
"""

from __future__ import annotations

import sys

import portrange

YES, NO, UNKNOWN = range(3)


def check(port: int, program: str) -> tuple[int, str]:
    try:
        found = portrange.who_listens(port, protocol="tcp")
    except portrange.PortrangeError as error:
        return UNKNOWN, str(error)
    for listener in found:
        if program in [owner.name for owner in listener.owners]:
            return YES, str(listener)
    if found.incomplete:
        return UNKNOWN, "; ".join(found.incomplete)
    hidden = [listener for listener in found if listener.hidden]
    if hidden:
        return UNKNOWN, str(hidden[0])
    if found:
        return NO, f"another program listens: {found[0]}"
    return NO, f"nothing listens on port {port}"


if __name__ == "__main__":
    if len(sys.argv) != 3 or not sys.argv[1].isdecimal():
        sys.exit("usage: python health_check.py PORT PROGRAM")
    status, message = check(int(sys.argv[1]), sys.argv[2])
    print(message)
    sys.exit(status)
