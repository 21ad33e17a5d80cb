"""List the listeners on a port on every host of a fleet.

    python fleet.py tcp://192.0.2.1:8786 60860

The first argument is the address of a dask.distributed scheduler. Each host runs a worker and has portrange
installed. The exit status is 1 if a host could not be queried.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from urllib.parse import urlsplit

from distributed import Client

import portrange


def query(client: Client, port: int) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Return a row for each listener of each host, and the failure of each host that has one."""
    workers: dict[str, str] = {}  # one worker for each host is enough
    for address in client.scheduler_info(n_workers=-1)["workers"]:
        workers.setdefault(str(urlsplit(address).hostname), address)
    results = client.run(portrange.who_listens, port, workers=list(workers.values()), on_error="return")
    rows: list[dict[str, object]] = []
    failures: dict[str, str] = {}
    for host, address in sorted(workers.items()):
        result = results[address]
        if isinstance(result, portrange.Listeners):
            rows += [{"host": host, **row} for row in result.to_dicts()]
            failure = "; ".join(result.incomplete)
        else:
            failure = str(result)  # the exception raised on that host
        if failure:
            failures[host] = failure
    return rows, failures


def line(cells: Iterable[object]) -> str:
    """Return a line of the table, with "?" for unknown values."""
    return "{:<15} {:<9} {:<15} {:<6} {:<8} {}".format(*("?" if cell is None else cell for cell in cells))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("scheduler")
    parser.add_argument("port", type=int)
    arguments = parser.parse_args()
    with Client(arguments.scheduler, timeout=20) as client:
        rows, failures = query(client, arguments.port)
    columns = ("host", "protocol", "address", "port", "pid", "process")
    print(line([name.upper() for name in columns]))
    for row in rows:
        print(line([row[name] for name in columns]))
    for host, failure in failures.items():
        print(f"{host}: not known: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
