"""How full the pool of automatic ports is, for Prometheus.

    python exporter.py 9464

The pool is looked at when Prometheus asks, and not in between. Where it cannot be looked at, the request fails, and
`up` is 0: no figure is better than a wrong one.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import portrange


class EphemeralUsageCollector(Collector):
    """Asks `portrange.ephemeral_usage()` for each scrape, and shows its numbers."""

    def __init__(self, host: portrange.Host | None = None) -> None:
        self._host = host

    def describe(self) -> list[Metric]:
        """Nothing is promised before the first scrape, so registering looks at no socket."""
        return []

    def collect(self) -> Iterator[Metric]:
        """One moment's numbers."""
        size = GaugeMetricFamily("portrange_pool_ports", "Ports that the system hands out", labels=["protocol"])
        used = GaugeMetricFamily("portrange_pool_ports_used", "Those that a socket has", labels=["protocol"])
        sockets = GaugeMetricFamily("portrange_pool_sockets", "Sockets with such a port", labels=["protocol", "state"])
        share = GaugeMetricFamily(
            "portrange_destination_share", "Share of the limit that is taken", labels=["source", "destination"]
        )
        for protocol in ("tcp", "udp"):
            usage = portrange.ephemeral_usage(protocol=protocol, host=self._host)
            size.add_metric([protocol], usage.size)
            used.add_metric([protocol], usage.used)
            for state, count in usage.states:
                sockets.add_metric([protocol, state], count)
            if protocol == "tcp":  # UDP is limited by address, not by destination
                for one in usage.destinations:
                    share.add_metric([one.source, one.endpoint], one.share)
        yield from (size, used, sockets, share)


def main() -> None:
    registry = CollectorRegistry()
    registry.register(EphemeralUsageCollector())
    server, _ = start_http_server(int(sys.argv[1]) if len(sys.argv) > 1 else 9464, addr="127.0.0.1", registry=registry)
    print(f"http://127.0.0.1:{server.server_port}/metrics", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
