"""Ports that widespread programs bind by default without a registration, or beside another registration.

Each row names the documentation of the project: its host, and the title of the page or the name of the file. About 30
rows were compared with the project's documentation or source; the others are still to be compared. A program belongs
here if it is widespread and binds the port by default, or in the configuration that its documentation begins with.
`COMMON_USES_DATE` is the date of the table.
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
_EXPORTERS = "github.com/prometheus: Default port allocations"
_CONSUL = "developer.hashicorp.com: Consul, Required Ports"
_NOMAD = "developer.hashicorp.com: Nomad, Network port requirements"
_CLICKHOUSE = "clickhouse.com: Network ports"
_RABBITMQ = "rabbitmq.com: Networking and RabbitMQ"
_MONGODB = "mongodb.com: Default MongoDB Port"

_ROWS: tuple[tuple[int, tuple[ProtocolName, ...], str, str], ...] = (
    (1234, _TCP, "LM Studio", "lmstudio.ai: LM Studio as a Local LLM API Server"),
    (1313, _TCP, "Hugo", "gohugo.io: hugo server"),
    (1337, _TCP, "Strapi", "docs.strapi.io: Server configuration"),
    (1880, _TCP, "Node-RED", "nodered.org: Running Node-RED locally"),
    (2181, _TCP, "ZooKeeper", "zookeeper.apache.org: Getting Started Guide"),
    (3000, _TCP, "Grafana", "grafana.com: Configure Grafana, http_port"),
    (3000, _TCP, "Ruby on Rails", "guides.rubyonrails.org: The Rails Command Line"),
    (3000, _TCP, "Next.js", "nextjs.org: next CLI"),
    (4040, _TCP, "Apache Spark", "spark.apache.org: Monitoring and Instrumentation"),
    (4200, _TCP, "Angular CLI", "angular.dev: ng serve"),
    (4222, _TCP, "NATS", "docs.nats.io: NATS Server Configuration"),
    (4321, _TCP, "Astro", "docs.astro.build: Configuration Reference, server.port"),
    (4646, _TCP, "Nomad", _NOMAD),
    (4647, _TCP, "Nomad", _NOMAD),
    (4648, _BOTH, "Nomad", _NOMAD),
    (4873, _TCP, "Verdaccio", "verdaccio.io: Configuration"),
    (5000, _TCP, "Flask", "flask.palletsprojects.com: Quickstart"),
    (5000, _TCP, "container registries", "distribution.github.io: Deploy a registry server"),
    (5044, _TCP, "Logstash", "elastic.co: Filebeat, Configure the Logstash output"),
    (5173, _TCP, "Vite", "vite.dev: Server Options, server.port"),
    (5555, _TCP, "Android Debug Bridge", "developer.android.com: Android Debug Bridge"),
    (5555, _TCP, "Celery Flower", "flower.readthedocs.io: Configuration"),
    (5601, _TCP, "Kibana", "elastic.co: Configure Kibana, server.port"),
    (5678, _TCP, "n8n", "docs.n8n.io: Deployment environment variables"),
    (6006, _TCP, "TensorBoard", "github.com/tensorflow/tensorboard: README"),
    (6006, _TCP, "Storybook", "storybook.js.org: CLI options"),
    (6333, _TCP, "Qdrant", "qdrant.tech: Configuration"),
    (6334, _TCP, "Qdrant", "qdrant.tech: Configuration"),
    (6443, _TCP, "Kubernetes API server", _KUBERNETES),
    (6881, _BOTH, "BitTorrent", "bittorrent.org: BEP 3"),
    (7000, _TCP, "Apache Cassandra", "cassandra.apache.org: cassandra.yaml, storage_port"),
    (7077, _TCP, "Apache Spark", "spark.apache.org: Spark Standalone Mode"),
    (7233, _TCP, "Temporal", "docs.temporal.io: Temporal Server, frontend"),
    (7700, _TCP, "Meilisearch", "meilisearch.com: Configure Meilisearch at launch"),
    (7860, _TCP, "Gradio", "gradio.app: Blocks, launch"),
    (7946, _BOTH, "Docker Swarm", "docs.docker.com: Use Swarm mode routing mesh"),
    (8000, _TCP, "Django", "docs.djangoproject.com: runserver"),
    (8000, _TCP, "Uvicorn", "uvicorn.org: Settings"),
    (8000, _TCP, "Python's http.server", "docs.python.org: http.server"),
    (8001, _TCP, "kubectl proxy", "kubernetes.io: kubectl proxy"),
    (8006, _TCP, "Proxmox VE", "pve.proxmox.com: Ports"),
    (8008, _TCP, "Synapse (Matrix)", "element-hq.github.io: Synapse, Installation Instructions"),
    (8080, _TCP, "Apache Tomcat", "tomcat.apache.org: The HTTP Connector"),
    (8080, _TCP, "Jenkins", "jenkins.io: Initial Settings, --httpPort"),
    (8081, _TCP, "Nexus Repository", "help.sonatype.com: Nexus Repository, Configuring the Runtime Environment"),
    (8081, _TCP, "Apache Flink", "nightlies.apache.org: Flink, Configuration, rest.port"),
    (8083, _TCP, "Kafka Connect", "kafka.apache.org: Kafka Connect Configs, listeners"),
    (8086, _TCP, "InfluxDB", "docs.influxdata.com: InfluxDB configuration options"),
    (8088, _TCP, "Hadoop YARN", "hadoop.apache.org: yarn-default.xml"),
    (8089, _TCP, "Locust", "docs.locust.io: Configuration"),
    (8091, _TCP, "Couchbase", "docs.couchbase.com: Couchbase Server Ports"),
    (8096, _TCP, "Jellyfin", "jellyfin.org: Networking"),
    (8123, _TCP, "Home Assistant", "home-assistant.io: HTTP, server_port"),
    (8123, _TCP, "ClickHouse", _CLICKHOUSE),
    (8125, _UDP, "StatsD", "github.com/statsd/statsd: README"),
    (8161, _TCP, "ActiveMQ", "activemq.apache.org: Web Console"),
    (8200, _TCP, "Vault", "developer.hashicorp.com: Vault, TCP listener"),
    (8222, _TCP, "NATS", "docs.nats.io: Monitoring NATS"),
    (8265, _TCP, "Ray", "docs.ray.io: Configuring Ray, ports"),
    (8300, _TCP, "Consul", _CONSUL),
    (8301, _BOTH, "Consul", _CONSUL),
    (8302, _BOTH, "Consul", _CONSUL),
    (8333, _TCP, "Bitcoin Core", "developer.bitcoin.org: P2P Network"),
    (8384, _TCP, "Syncthing", "docs.syncthing.net: Starting Syncthing Automatically"),
    (8443, _TCP, "Apache Tomcat", "tomcat.apache.org: SSL/TLS Configuration How-To"),
    (8448, _TCP, "Matrix homeservers", "spec.matrix.org: Server-Server API"),
    (8472, _UDP, "Flannel (VXLAN)", "github.com/flannel-io/flannel: Documentation/backends.md"),
    (8500, _TCP, "Consul", _CONSUL),
    (8501, _TCP, "Streamlit", "docs.streamlit.io: config.toml, server.port"),
    (8545, _TCP, "Ethereum clients (JSON-RPC)", "geth.ethereum.org: Command-line Options"),
    (8600, _BOTH, "Consul", _CONSUL),
    (8787, _TCP, "RStudio Server", "docs.posit.co: RStudio Server, Network Port and Address"),
    (8888, _TCP, "Jupyter", "jupyter-server.readthedocs.io: Config file and command line options"),
    (8983, _TCP, "Apache Solr", "solr.apache.org: Installing Solr"),
    (9000, _TCP, "ClickHouse", _CLICKHOUSE),
    (9000, _TCP, "MinIO", "min.io: minio server"),
    (9000, _TCP, "SonarQube", "docs.sonarsource.com: SonarQube Server, Environment variables"),
    (9000, _TCP, "PHP-FPM", "php.net: FastCGI Process Manager, Configuration"),
    (9042, _TCP, "Apache Cassandra", "cassandra.apache.org: cassandra.yaml, native_transport_port"),
    (9050, _TCP, "Tor", "torproject.org: tor manual, SocksPort"),
    (9090, _TCP, "Prometheus", "prometheus.io: Getting started"),
    (9090, _TCP, "Cockpit", "cockpit-project.org: TCP Port and Address"),
    (9091, _TCP, "Prometheus Pushgateway", "github.com/prometheus/pushgateway: README"),
    (9091, _TCP, "Transmission", "github.com/transmission/transmission: Editing Configuration Files"),
    (9092, _TCP, "Apache Kafka", "kafka.apache.org: Quickstart"),
    (9093, _TCP, "Prometheus Alertmanager", "prometheus.io: Alerting based on metrics"),
    (9094, _BOTH, "Prometheus Alertmanager", "github.com/prometheus/alertmanager: README"),
    (9100, _TCP, "Prometheus node_exporter", "prometheus.io: Monitoring Linux host metrics with the Node Exporter"),
    (9104, _TCP, "Prometheus mysqld_exporter", _EXPORTERS),
    (9115, _TCP, "Prometheus blackbox_exporter", _EXPORTERS),
    (9187, _TCP, "Prometheus postgres_exporter", _EXPORTERS),
    (9200, _TCP, "Elasticsearch", "elastic.co: Networking settings"),
    (9200, _TCP, "OpenSearch", "docs.opensearch.org: Network settings"),
    (9222, _TCP, "Chrome remote debugging", "chromedevtools.github.io: Chrome DevTools Protocol"),
    (9229, _TCP, "Node.js inspector", "nodejs.org: Debugging Node.js"),
    (9300, _TCP, "Elasticsearch", "elastic.co: Networking settings"),
    (9411, _TCP, "Zipkin", "zipkin.io: Quickstart"),
    (9418, _TCP, "Git", "git-scm.com: git daemon"),
    (9443, _TCP, "Portainer", "docs.portainer.io: Install Portainer"),
    (9600, _TCP, "Logstash", "elastic.co: Monitoring Logstash with APIs"),
    (9870, _TCP, "Hadoop HDFS", "hadoop.apache.org: hdfs-default.xml"),
    (10000, _TCP, "Webmin", "webmin.com: Installation"),
    (10248, _TCP, "kubelet", "kubernetes.io: kubelet, --healthz-port"),
    (10249, _TCP, "kube-proxy", "kubernetes.io: kube-proxy, --metrics-bind-address"),
    (10250, _TCP, "kubelet", _KUBERNETES),
    (10256, _TCP, "kube-proxy", "kubernetes.io: kube-proxy, --healthz-bind-address"),
    (10257, _TCP, "kube-controller-manager", _KUBERNETES),
    (10259, _TCP, "kube-scheduler", _KUBERNETES),
    (11434, _TCP, "Ollama", "docs.ollama.com: FAQ"),
    (15672, _TCP, "RabbitMQ management", _RABBITMQ),
    (16379, _TCP, "Redis Cluster", "redis.io: Scale with Redis Cluster"),
    (16686, _TCP, "Jaeger", "jaegertracing.io: Getting Started"),
    (18080, _TCP, "Apache Spark history server", "spark.apache.org: Monitoring and Instrumentation"),
    (19530, _TCP, "Milvus", "milvus.io: Configure Milvus"),
    (19999, _TCP, "Netdata", "learn.netdata.cloud: Web server reference"),
    (22000, _BOTH, "Syncthing", "docs.syncthing.net: Firewall Setup"),
    (25565, _BOTH, "Minecraft", "help.minecraft.net: How to Set up a Minecraft Server"),
    (25672, _TCP, "RabbitMQ", _RABBITMQ),
    (26257, _TCP, "CockroachDB", "cockroachlabs.com: cockroach start"),
    (26379, _TCP, "Redis Sentinel", "redis.io: High availability with Redis Sentinel"),
    (27015, _BOTH, "Source game servers", "developer.valvesoftware.com: Source Dedicated Server"),
    (27017, _TCP, "MongoDB", _MONGODB),
    (27018, _TCP, "MongoDB", _MONGODB),
    (27019, _TCP, "MongoDB", _MONGODB),
    (30303, _BOTH, "Ethereum clients", "geth.ethereum.org: Command-line Options"),
    (41641, _UDP, "Tailscale", "tailscale.com: What firewall ports should I open to use Tailscale?"),
    (50051, _TCP, "gRPC examples", "grpc.io: Quick start"),
    (51820, _UDP, "WireGuard", "wireguard.com: Quick Start"),
    (61616, _TCP, "ActiveMQ", "activemq.apache.org: Getting Started"),
)

_by_port: dict[int, tuple[CommonUse, ...]] = {}
for _port, _protocols, _program, _source in _ROWS:
    _by_port[_port] = (*_by_port.get(_port, ()), CommonUse(_program, _protocols, _source))

#: The common uses of each port that has any.
COMMON_USES = _by_port
