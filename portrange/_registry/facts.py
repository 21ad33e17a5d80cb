"""Default ranges of operating systems and orchestrators, common uses of ports, and ports that software refuses."""

from __future__ import annotations

from .._answers.port import CommonUse
from .._frozen import Frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._answers.address import ProtocolName


class DefaultRange(Frozen):
    """The ephemeral port range of a freshly installed operating system."""

    system: str
    """The operating system in results and arguments, such as "linux"."""
    title: str
    """The operating system in messages, such as "Linux"."""
    first: int
    """The lowest port of the range."""
    last: int
    """The highest port of the range."""


#: In the order of results and of targets: the three most widespread systems, then the others.
DEFAULT_RANGES = (
    # net/ipv4/af_inet.c, inet_init_net; ip-sysctl.rst: "The default values are 32768 and 60999 respectively."
    DefaultRange("linux", "Linux", 32768, 60999),
    # bsd/netinet/in.h of XNU: IPPORT_HIFIRSTAUTO, IPPORT_HILASTAUTO; sysctl net.inet.ip.portrange.first, .last
    DefaultRange("macos", "macOS", 49152, 65535),
    # Microsoft's article 929851, since Windows Vista and Server 2008
    DefaultRange("windows", "Windows", 49152, 65535),
    # sys/netinet/in.h: IPPORT_EPHEMERALFIRST, IPPORT_EPHEMERALLAST
    DefaultRange("freebsd", "FreeBSD", 10000, 65535),
    # sys/netinet/in.h: IPPORT_RESERVED, IPPORT_USERRESERVED; sysctl net.inet.ip.portfirst, .portlast
    DefaultRange("openbsd", "OpenBSD", 1024, 49151),
    # sys/netinet/in.h: IPPORT_ANONMIN, IPPORT_ANONMAX; sysctl net.inet.ip.anonportmin, .anonportmax
    DefaultRange("netbsd", "NetBSD", 49152, 65535),
    # sys/netinet/in.h: IPPORT_RESERVED, IPPORT_USERRESERVED
    DefaultRange("dragonfly", "DragonFly", 1024, 5000),
    # Oracle's Tunable Parameters manual: smallest_anon_port, largest_anon_port (tcp, udp, sctp)
    DefaultRange("solaris", "Solaris", 32768, 65535),
    # IBM's no command: tcp_ephemeral_low, tcp_ephemeral_high, and the same for udp
    DefaultRange("aix", "AIX", 32768, 65535),
)

#: The systems that a fixed port is judged for unless the caller names others: a program written on one of them is
#: sooner or later run on another.
DEFAULT_TARGETS = ("linux", "macos", "windows")


class OrchestratorRange(Frozen):
    """The ports that an orchestrator allocates to workloads, by default."""

    name: str
    """The orchestrator in arguments, such as "kubernetes"."""
    title: str
    """The orchestrator in messages, such as "Kubernetes NodePort"."""
    first: int
    """The lowest port of the range."""
    last: int
    """The highest port of the range."""
    source: str
    """The documentation of the project, and the version that it describes."""


#: As of 2026-11-24. Docker is not among them: ``docker run -P`` takes ports from the ephemeral range of the host
#: (docs.docker.com, "docker container run").
ORCHESTRATOR_RANGES = (
    OrchestratorRange(
        "kubernetes", "Kubernetes NodePort", 30000, 32767, "kubernetes.io: Ports and Protocols, NodePort (since 1.0)"
    ),
    OrchestratorRange("nomad", "Nomad", 20000, 32000, "developer.hashicorp.com: client block, min_dynamic_port (1.7)"),
    OrchestratorRange(
        "swarm", "Docker Swarm", 30000, 32767, "docs.docker.com: Swarm mode key concepts (since Engine 1.12)"
    ),
    OrchestratorRange("mesos", "Mesos", 31000, 32000, "src/slave/constants.hpp of apache/mesos: DEFAULT_PORTS (1.x)"),
)

#: "Bad ports" of the Fetch standard (WHATWG, https://fetch.spec.whatwg.org/#port-blocking, as of July 2026): a browser
#: fails an http or https URL with one of them with a network error, without contacting the server.
BAD_PORTS = frozenset(
    {
        *(0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95),
        *(101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179),
        *(389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587),
        *(601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061),
        *(6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
    }
)

#: macOS allows these TCP ports only to programs with an entitlement from Apple (bsd/net/restricted_in_port.c of XNU):
#: a bind fails with EADDRINUSE although no socket has the port.
MACOS_RESTRICTED = frozenset({55555})

# --- common uses -----------------------------------------------------------------------------------------------------
# Ports that widespread programs bind by default without a registration, or beside another registration. Each row names
# the page, or the file in the project's repository, that states the number, as of 2026-11-24. Minecraft
# publishes no source: its row was compared with published copies of the file that its server writes. A program belongs
# here if it is widespread and binds the port by default, or in the configuration that its documentation begins with.

_TCP: tuple[ProtocolName, ...] = ("tcp",)
_UDP: tuple[ProtocolName, ...] = ("udp",)
_BOTH: tuple[ProtocolName, ...] = ("tcp", "udp")

_KUBERNETES = "kubernetes.io: Ports and Protocols"
_CLICKHOUSE = "clickhouse.com: Network ports"
_RABBITMQ = "rabbitmq.com: Networking and RabbitMQ"
_MONGODB = "mongodb.com: Default MongoDB Port"

_COMMON_USES: tuple[tuple[int, tuple[ProtocolName, ...], str, str], ...] = (
    (1313, _TCP, "Hugo", "gohugo.io: hugo server, --port"),
    (1880, _TCP, "Node-RED", "github.com/node-red/node-red: packages/node_modules/node-red/settings.js, uiPort"),
    (2181, _TCP, "ZooKeeper", "github.com/apache/zookeeper: conf/zoo_sample.cfg, clientPort"),
    (3000, _TCP, "Grafana", "grafana.com: Configure Grafana, http_port"),
    (
        3000,
        _TCP,
        "Ruby on Rails",
        "github.com/rails/rails: template of config/puma.rb, port",
    ),
    (4040, _TCP, "Apache Spark", "spark.apache.org: Monitoring and Instrumentation"),
    (4222, _TCP, "NATS", "github.com/nats-io/nats-server: server/const.go, DEFAULT_PORT"),
    (4873, _TCP, "Verdaccio", "github.com/verdaccio/verdaccio: packages/config/src/conf/default.yaml, listen"),
    (5000, _TCP, "Flask", "flask.palletsprojects.com: Quickstart"),
    (5173, _TCP, "Vite", "vite.dev: Server Options, server.port"),
    (5555, _TCP, "Celery Flower", "flower.readthedocs.io: Configuration, port"),
    (5601, _TCP, "Kibana", "github.com/elastic/kibana: config/kibana.yml, server.port"),
    (6006, _TCP, "TensorBoard", "github.com/tensorflow/tensorboard: README"),
    (6333, _TCP, "Qdrant", "github.com/qdrant/qdrant: config/config.yaml, http_port"),
    (6334, _TCP, "Qdrant", "github.com/qdrant/qdrant: config/config.yaml, grpc_port"),
    (6443, _TCP, "Kubernetes API server", _KUBERNETES),
    (7000, _TCP, "Apache Cassandra", "cassandra.apache.org: cassandra.yaml, storage_port"),
    (7700, _TCP, "Meilisearch", "github.com/meilisearch/meilisearch: config.toml, http_addr"),
    (8000, _TCP, "Django", "docs.djangoproject.com: runserver"),
    (8000, _TCP, "Uvicorn", "github.com/encode/uvicorn: docs/settings.md, --port"),
    (8000, _TCP, "Python's http.server", "docs.python.org: http.server"),
    (8008, _TCP, "Synapse (Matrix)", "github.com/element-hq/synapse: docs/reverse_proxy.md"),
    (8080, _TCP, "Apache Tomcat", "tomcat.apache.org: The HTTP Connector"),
    (8080, _TCP, "Jenkins", "jenkins.io: Initial Settings, --httpPort"),
    (8083, _TCP, "Kafka Connect", "github.com/apache/kafka: config/connect-distributed.properties, listeners"),
    (8089, _TCP, "Locust", "docs.locust.io: Quick start"),
    (8123, _TCP, "Home Assistant", "home-assistant.io: HTTP, server_port"),
    (8123, _TCP, "ClickHouse", _CLICKHOUSE),
    (8125, _UDP, "StatsD", "github.com/statsd/statsd: exampleConfig.js, port"),
    (8161, _TCP, "ActiveMQ", "github.com/apache/activemq: assembly/src/release/conf/jetty.xml, port"),
    (8222, _TCP, "NATS", "github.com/nats-io/nats-server: server/const.go, DEFAULT_HTTP_PORT"),
    (8384, _TCP, "Syncthing", "docs.syncthing.net: Firewall Setup, Remote Web GUI"),
    (8448, _TCP, "Matrix homeservers", "github.com/element-hq/synapse: docs/reverse_proxy.md"),
    (8472, _UDP, "Flannel (VXLAN)", "github.com/flannel-io/flannel: Documentation/backends.md"),
    (8888, _TCP, "Jupyter", "jupyter-server.readthedocs.io: Config file and command line options"),
    (9000, _TCP, "ClickHouse", _CLICKHOUSE),
    (9000, _TCP, "MinIO", "min.io: minio server"),
    (9000, _TCP, "PHP-FPM", "github.com/php/php-src: sapi/fpm/www.conf.in, listen"),
    (9042, _TCP, "Apache Cassandra", "cassandra.apache.org: cassandra.yaml, native_transport_port"),
    (9050, _TCP, "Tor", "github.com/torproject/tor: src/config/torrc.sample.in, SOCKSPort"),
    (9090, _TCP, "Prometheus", "github.com/prometheus/prometheus: documentation/examples/prometheus.yml"),
    (9090, _TCP, "Cockpit", "cockpit-project.org: TCP Port and Address"),
    (9091, _TCP, "Prometheus Pushgateway", "github.com/prometheus/pushgateway: README"),
    (9092, _TCP, "Apache Kafka", "github.com/apache/kafka: config/server.properties, listeners"),
    (9093, _TCP, "Prometheus Alertmanager", "prometheus.io: Alerting based on metrics"),
    (9094, _BOTH, "Prometheus Alertmanager", "github.com/prometheus/alertmanager: README"),
    (9100, _TCP, "Prometheus node_exporter", "prometheus.io: Monitoring Linux host metrics with the Node Exporter"),
    (9104, _TCP, "Prometheus mysqld_exporter", "github.com/prometheus/mysqld_exporter: mysqld_exporter.go"),
    (9115, _TCP, "Prometheus blackbox_exporter", "github.com/prometheus/blackbox_exporter: README.md"),
    (
        9200,
        _TCP,
        "Elasticsearch",
        "github.com/elastic/elasticsearch: config/elasticsearch.yml, http.port",
    ),
    (
        9200,
        _TCP,
        "OpenSearch",
        "github.com/opensearch-project/OpenSearch: config/opensearch.yml, http.port",
    ),
    (9229, _TCP, "Node.js inspector", "nodejs.org: Debugger, node inspect"),
    (9418, _TCP, "Git", "git-scm.com: git daemon"),
    (9600, _TCP, "Logstash", "github.com/elastic/logstash: config/logstash.yml, api.http.port"),
    (10248, _TCP, "kubelet", "github.com/kubernetes/kubernetes: pkg/cluster/ports/ports.go, KubeletHealthzPort"),
    (10249, _TCP, "kube-proxy", "kubernetes.io: kube-proxy, --metrics-bind-address"),
    (10250, _TCP, "kubelet", _KUBERNETES),
    (10256, _TCP, "kube-proxy", "github.com/kubernetes/kubernetes: pkg/cluster/ports/ports.go, ProxyHealthzPort"),
    (10257, _TCP, "kube-controller-manager", _KUBERNETES),
    (10259, _TCP, "kube-scheduler", _KUBERNETES),
    (11434, _TCP, "Ollama", "docs.ollama.com: FAQ"),
    (15672, _TCP, "RabbitMQ management", _RABBITMQ),
    (18080, _TCP, "Apache Spark history server", "spark.apache.org: Monitoring and Instrumentation"),
    (22000, _TCP, "Syncthing", "docs.syncthing.net: Firewall Setup"),
    (25565, _TCP, "Minecraft", "minecraft.net: server.properties written by the server, server-port"),
    (25672, _TCP, "RabbitMQ", _RABBITMQ),
    (26379, _TCP, "Redis Sentinel", "github.com/redis/redis: sentinel.conf, port"),
    (27017, _TCP, "MongoDB", _MONGODB),
    (27018, _TCP, "MongoDB", _MONGODB),
    (27019, _TCP, "MongoDB", _MONGODB),
    (41641, _UDP, "Tailscale", "github.com/tailscale/tailscale: cmd/tailscaled/tailscaled.defaults, PORT"),
    (50051, _TCP, "gRPC examples", "grpc.io: Quick start"),
    (51820, _UDP, "WireGuard", "git.zx2c4.com: wireguard-tools, wg(8), ListenPort"),
)

#: The ports that have a common use.
COMMON_PORTS = frozenset(row[0] for row in _COMMON_USES)


def common_uses(port: int) -> tuple[CommonUse, ...]:
    """Return the common uses of a port. They are created here: most processes need those of few ports."""
    if port not in COMMON_PORTS:
        return ()
    return tuple(CommonUse(program, protocols, source) for at, protocols, program, source in _COMMON_USES if at == port)
