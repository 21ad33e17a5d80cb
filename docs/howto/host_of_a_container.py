"""List the listeners of the host from a container that mounts the host procfs at /host/proc.

docker run --pid=host --cap-add SYS_ADMIN --cap-add SYS_PTRACE -v /proc:/host/proc:ro IMAGE python ...
"""

from __future__ import annotations

import sys

import portrange


def main() -> None:
    host = portrange.Host(sys.argv[1] if len(sys.argv) > 1 else "/host/proc")
    print(portrange.ephemeral_range(host=host))
    print(portrange.listeners(host=host))


if __name__ == "__main__":
    main()
