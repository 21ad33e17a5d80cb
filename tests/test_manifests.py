"""Ports in the JSON output of Docker Compose and kubectl."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portrange._cli.manifests import Published, conflicts, parse_published, read_published


def compose(**services):
    """Return what `docker compose config --format json` prints for services with these ports."""
    return {
        "name": "project",
        "services": {name: {"image": name, "networks": {"default": None}, "ports": p} for name, p in services.items()},
        "networks": {"default": {"name": "project_default"}},
    }


def entry(target, published=None, **more):
    known = {} if published is None else {"published": published}
    return {"mode": "ingress", "target": target, **known, "protocol": "tcp", **more}


def pod(name, *ports, node=None, phase="Running", owner=None):
    metadata = {"name": name, "namespace": "default"}
    if owner:
        metadata["ownerReferences"] = [{"kind": "DaemonSet", "name": owner, "controller": True}]
    spec = {"containers": [{"name": "main", "ports": list(ports)}]}
    if node:
        spec["nodeName"] = node
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {"phase": phase}}


def service(name, *ports):
    spec = {"type": "NodePort", "ports": list(ports)}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def daemon_set(name, *ports):
    template = {"spec": {"containers": [{"name": "main", "ports": list(ports)}]}}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": {"template": template}}


def listed(*items):
    return {"apiVersion": "v1", "kind": "List", "items": list(items)}


def parse(document):
    return parse_published(json.dumps(document).encode(), "an example")


def clashes(document):
    return sorted(conflicts(parse(document)))


WEB = {"containerPort": 80, "hostPort": 8080, "protocol": "TCP"}


def test_compose_ports_have_service_protocol_and_address():
    document = compose(web=[entry(80, "8080"), entry(443)], dns=[entry(53, "5353", protocol="udp", host_ip="::1")])
    assert parse(document) == [Published(8080, "web", "tcp"), Published(5353, "dns", "udp", "::1")]


def test_compose_range_publishes_each_port_and_never_conflicts():
    document = compose(web=[entry(80, "8000-8002")], api=[entry(80, "8000-8002")])
    assert [port.port for port in parse(document)] == [8000, 8001, 8002] * 2
    assert clashes(document) == []


@pytest.mark.parametrize("published", [None, "", "0", 0])
def test_compose_port_chosen_by_the_engine_is_left_out(published):
    assert parse(compose(web=[entry(80, published)])) == []


def test_kubernetes_ports_have_object_protocol_and_address():
    document = listed(
        pod("web", {**WEB, "hostIP": "127.0.0.1"}, {"containerPort": 90}),
        service("dns", {"port": 53, "nodePort": 30053, "protocol": "UDP"}),
        daemon_set("exporter", {"containerPort": 9100, "hostPort": 9100}),
    )
    assert [(port.port, port.origin, port.protocol, port.address) for port in parse(document)] == [
        (8080, "Pod default/web", "tcp", "127.0.0.1"),
        (30053, "Service default/dns", "udp", ""),
        (9100, "DaemonSet default/exporter", "tcp", ""),
    ]
    assert [port.port for port in parse(pod("web", WEB))] == [8080]


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        ({}, {}, True),
        ({}, {"host_ip": "127.0.0.1"}, True),
        ({"host_ip": "0.0.0.0"}, {"host_ip": "127.0.0.1"}, True),
        ({"host_ip": "::"}, {"host_ip": "::1"}, True),
        ({"host_ip": "127.0.0.1"}, {"host_ip": "127.0.0.1"}, True),
        ({"host_ip": "127.0.0.1"}, {"host_ip": "127.0.0.2"}, False),
        ({"host_ip": "0.0.0.0"}, {"host_ip": "::1"}, False),
        ({"protocol": "udp"}, {"protocol": "tcp"}, False),
    ],
)
def test_compose_conflict_is_the_same_protocol_on_an_overlapping_address(first, second, conflict):
    document = compose(web=[entry(80, "8080", **first)], api=[entry(81, "8080", **second)])
    assert clashes(document) == [8080] * conflict


def test_conflict_names_the_addresses_and_services():
    document = compose(web=[entry(80, "8080")], api=[entry(80, "8080", host_ip="127.0.0.1")])
    assert conflicts(parse(document)) == {
        8080: ["tcp published twice on all addresses and 127.0.0.1 by web and api: change all but one of them"]
    }
    document = compose(web=[entry(80, "8080")] * 3)
    assert "published 3 times on all addresses by web:" in conflicts(parse(document))[8080][0]


@pytest.mark.parametrize(
    ("items", "conflict"),
    [
        ([pod("a", WEB), pod("b", WEB)], True),
        ([pod("a", WEB, WEB)], True),
        ([pod("a", WEB, node="one"), pod("b", WEB, node="one")], True),
        ([pod("a", WEB, node="one"), pod("b", WEB, node="two")], False),
        ([pod("a", WEB, node="one", phase="Succeeded"), pod("b", WEB, node="one")], False),
        ([daemon_set("d", WEB), pod("d-1", WEB, node="one", owner="d"), pod("d-2", WEB, node="two", owner="d")], False),
        ([daemon_set("d", WEB), pod("d-1", WEB, phase="Pending", owner="d")], False),
        ([daemon_set("d", WEB), daemon_set("e", WEB)], True),
        ([service("a", {"nodePort": 30080}), service("b", {"nodePort": 30080})], True),
        ([service("a", {"nodePort": 30053, "protocol": "UDP"}, {"nodePort": 30053, "protocol": "TCP"})], False),
    ],
)
def test_kubernetes_conflict_is_on_the_same_node(items, conflict):
    assert bool(clashes(listed(*items))) is conflict


def test_managed_fields_and_annotations_are_not_ports():
    document = pod("web")
    document["metadata"]["managedFields"] = [{"fieldsV1": {"f:ports": {"f:hostPort": {}}}}]
    document["metadata"]["annotations"] = {"last-applied-configuration": '{"hostPort": 1}'}
    assert parse(document) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"services:\n", "an example is not JSON"),
        (b"\xff", "an example is not JSON"),
        (b"[" * 100_000, "an example is not JSON"),
        (b"[]", "neither services nor a kind .*published.*hostPort, nodePort"),
        (b"8080", "neither services nor a kind"),
        (b'{"ports": [8080]}', "neither services nor a kind"),
        (json.dumps(compose(web=["8080:80"])).encode(), "short syntax"),
        (json.dumps(compose(web=[entry(80, "web")])).encode(), "an example: web: published is 'web', which is not a"),
        (json.dumps(compose(web=[entry(80, "8080-")])).encode(), "web: published is ''"),
        (json.dumps(compose(web=[entry(80, True)])).encode(), "web: published is 'True'"),
        (json.dumps(compose(web=[entry(80, 65536)])).encode(), "web: published is '65536'"),
        (json.dumps(pod("a", {"hostPort": "x"})).encode(), "Pod default/a: hostPort is 'x', which is not a port"),
        (json.dumps(service("a", {"nodePort": 70000})).encode(), "Service default/a: nodePort is '70000'"),
        (json.dumps(service("a", {"nodePort": [1]})).encode(), "nodePort is "),
    ],
)
def test_other_documents_raise_value_error(content, message):
    with pytest.raises(ValueError, match=message) as failure:
        parse_published(content, "an example")
    assert "\n" not in str(failure.value)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="this system has no /dev/zero")
def test_file_without_an_end_raises_value_error():
    with pytest.raises(ValueError, match=r"/dev/zero has more than 268,435,456 bytes: use the output of docker"):
        read_published("/dev/zero")
