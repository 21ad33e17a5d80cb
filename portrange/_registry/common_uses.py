"""Ports that widespread programs bind by default without a registration, or beside another registration.

Each row names the page, or the file in the project's repository, that states the number; all were compared in 2026-11.
Minecraft publishes no source: its row was compared with published copies of the file that its server writes. A program
belongs here if it is widespread and binds the port by default, or in the configuration that its documentation begins
with. `COMMON_USES_DATE` is the date of the table.
"""

from __future__ import annotations

from .._answers.port import CommonUse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .._answers.address import ProtocolName

COMMON_USES_DATE = "2026-11-24"

_TCP: tuple[ProtocolName, ...] = ("tcp",)
_UDP: tuple[ProtocolName, ...] = ("udp",)
_BOTH: tuple[ProtocolName, ...] = ("tcp", "udp")

_KUBERNETES = "kubernetes.io: Ports and Protocols"
_CLICKHOUSE = "clickhouse.com: Network ports"
_RABBITMQ = "rabbitmq.com: Networking and RabbitMQ"
_MONGODB = "mongodb.com: Default MongoDB Port"

_ROWS: tuple[tuple[int, tuple[ProtocolName, ...], str, str], ...] = (
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
COMMON_PORTS = frozenset(row[0] for row in _ROWS)


def common_uses(port: int) -> tuple[CommonUse, ...]:
    """Return the common uses of a port. They are created here: most processes need those of few ports."""
    if port not in COMMON_PORTS:
        return ()
    return tuple(CommonUse(program, protocols, source) for at, protocols, program, source in _ROWS if at == port)
