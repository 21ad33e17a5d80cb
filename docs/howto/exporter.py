"""Export the usage of the ephemeral port range to Prometheus.

    python exporter.py 9464

The program reads the sockets once for each scrape. If it cannot read them, the scrape fails and `up` is 0, because
a wrong value is worse than no value.
"""

from __future__ import annotations

import collections
import sys
import threading
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import portrange


class EphemeralUsageCollector(Collector):
    """Collector that calls `portrange.ephemeral_usage()` for each scrape."""

    def __init__(self, host: portrange.Host | None = None) -> None:
        self._host = host

    def describe(self) -> list[Metric]:
        """Return no metrics, so that registration does not read sockets."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics of one scrape."""
        size = GaugeMetricFamily("portrange_ephemeral_ports", "Ephemeral ports of the range", labels=["protocol"])
        used = GaugeMetricFamily("portrange_ephemeral_ports_used", "Ephemeral ports in use", labels=["protocol"])
        sockets = GaugeMetricFamily(
            "portrange_ephemeral_sockets", "Sockets with an ephemeral port", labels=["protocol", "state"]
        )
        share = GaugeMetricFamily(
            "portrange_destination_share", "Share of the limit that is taken", labels=["source", "destination"]
        )
        owned = GaugeMetricFamily(
            "portrange_owner_sockets",
            "Sockets of an owner that have an ephemeral port",
            labels=["protocol", "user", "unit", "container"],
        )
        for protocol in ("tcp", "udp"):
            usage = portrange.ephemeral_usage(protocol=protocol, host=self._host)
            size.add_metric([protocol], usage.size)
            used.add_metric([protocol], usage.used)
            for state, count in usage.states:
                sockets.add_metric([protocol, state], count)
            by_owner = collections.Counter[tuple[str, str, str]]()
            for owner in usage.by_owner or ():
                user = owner.user or str(owner.uid if owner.uid is not None else "")
                by_owner[user, owner.unit or "", owner.container or ""] += owner.sockets
            for labels, count in by_owner.items():
                owned.add_metric([protocol, *labels], count)
            if protocol == "tcp":  # UDP is limited by address, not by destination
                for destination in usage.destinations:
                    share.add_metric([destination.source, destination.endpoint], destination.share)
        yield from (size, used, sockets, owned, share)


def main() -> None:
    registry = CollectorRegistry()
    registry.register(EphemeralUsageCollector())
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 9464
    server, _ = start_http_server(port, addr="127.0.0.1", registry=registry)
    print(f"http://127.0.0.1:{server.server_port}/metrics", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main()
