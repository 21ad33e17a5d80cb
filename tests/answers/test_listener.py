from __future__ import annotations

import json

import pytest

from portrange import Listener, Listeners, Process

NGINX = Process(812, "nginx", ("nginx",), "/usr/sbin/nginx", "root", 1000.0)
WORKER = Process(813, "nginx", None, None, "www-data", 1001.0)


def listener(**changes) -> Listener:
    return Listener(**{"protocol": "tcp", "family": "ipv4", "address": "0.0.0.0", "port": 80, **changes})


@pytest.mark.parametrize(
    ("changes", "endpoint"),
    [
        ({}, "0.0.0.0:80"),
        ({"family": "ipv6", "address": "::"}, "[::]:80"),
        ({"family": "ipv6", "address": "fe80::1", "interface": "eth0"}, "[fe80::1%eth0]:80"),
        ({"interface": "lo", "address": "127.0.0.53"}, "127.0.0.53%lo:80"),
        ({"address": ""}, "?:80"),
    ],
)
def test_endpoint_notation(changes, endpoint):
    assert listener(**changes).endpoint == endpoint


def test_owner_text_states_only_what_is_known():
    assert listener(owners=(NGINX, WORKER)).holder == "nginx (812), nginx (813)"
    assert listener(hidden=True).holder == "owner hidden"
    assert (
        listener(hidden=True, possible_owners=(NGINX, WORKER)).holder
        == "owner hidden, possibly nginx (812), nginx (813)"
    )
    assert listener().holder == "no visible process: the kernel, or another PID namespace"
    assert listener(owners=(Process(7),)).holder == "? (7)"


def test_pid_and_process_are_those_of_the_oldest_owner():
    assert (listener(owners=(NGINX, WORKER)).pid, listener(owners=(NGINX,)).process) == (812, "nginx")
    assert (listener(hidden=True).pid, listener().process) == (None, None)


def test_listeners_is_false_only_if_proven_empty():
    assert not Listeners()
    assert Listeners((listener(hidden=True),))
    assert Listeners((), ("another namespace",))
    assert str(Listeners()) == "no listeners"
    assert str(Listeners((), ("another namespace",))) == "incomplete: another namespace"


def test_listeners_is_an_immutable_sequence():
    web, mail = listener(), listener(port=25)
    both = Listeners((mail, web))
    assert (len(both), both[0], both[-1], list(both), web in both) == (2, mail, web, [mail, web], True)
    assert both[:1] == Listeners((mail,))
    assert both.on(80) == Listeners((web,))
    assert both.on(81) == Listeners()
    with pytest.raises(AttributeError):
        both.listeners = ()
    with pytest.raises(TypeError):
        both[0] = web


def test_on_keeps_incomplete_reasons():
    assert Listeners((listener(),), ("a reason",)).on(81).incomplete == ("a reason",)


def test_to_dicts_is_json_with_uniform_keys():
    rows = Listeners((listener(owners=(NGINX,)), listener(port=81, hidden=True, possible_owners=(WORKER,)))).to_dicts()
    assert json.loads(json.dumps(rows)) == rows
    assert list(rows[0]) == list(rows[1])
    assert rows[0]["owners"][0]["cmdline"] == ["nginx"]
    assert (rows[0]["pid"], rows[0]["process"], rows[1]["pid"]) == (812, "nginx", None)


def test_table_is_aligned_and_omits_empty_columns():
    rows = Listeners(
        (listener(owners=(NGINX,), user="root"), listener(family="ipv6", address="::", port=8080, dual_stack=True))
    )
    lines = str(rows).splitlines()
    assert lines == [
        "PROTO  PORT  ADDRESS  PROCESS    USER",
        "tcp      80  * IPv4   nginx 812  root",
        "tcp    8080  *        -",
    ]
    assert all(len(line) <= 30 for line in rows.to_text(30).splitlines())


def test_table_shows_workers_that_share_a_port_as_one_row():
    first, second, other = (Process(pid, name) for pid, name in ((1, "web"), (2, "web"), (3, "proxy")))
    rows = Listeners(
        (
            listener(owners=(first,), user="a"),
            listener(owners=(second,), user="a"),
            listener(owners=(other,), user="a"),
            listener(owners=(second,), user="b"),
            listener(owners=(second,), user="a", namespace="net:[1]"),
            listener(owners=(first,), user="a", protocol="udp"),
        )
    )
    lines = str(rows).splitlines()[1:]
    assert [line.split() for line in lines] == [
        ["tcp", "80", "*", "IPv4", "web", "1", "+1", "a"],
        ["tcp", "80", "*", "IPv4", "proxy", "3", "a"],
        ["tcp", "80", "*", "IPv4", "web", "2", "b"],
        ["tcp", "80", "*", "IPv4", "web", "2", "a", "net:[1]"],
        ["udp", "80", "*", "IPv4", "web", "1", "a"],
    ]
    assert rows._repr_html_().count("<tr>") == 1 + len(lines)
    assert len(rows.to_dicts()) == len(rows) == 6


def test_table_shows_a_hidden_owner_as_a_question_mark():
    rows = Listeners((*[listener(hidden=True, possible_owners=(NGINX,))] * 3, listener(hidden=True), listener()))
    assert [line.split() for line in str(rows).splitlines()[1:]] == [
        ["tcp", "80", "*", "IPv4", "?"],
        ["tcp", "80", "*", "IPv4", "?"],
        ["tcp", "80", "*", "IPv4", "-"],
    ]


ADDRESSES = ("127.0.0.1", "192.168.100.100", "::1", "fe80::1234:5678:9abc:def0")


def one_service(*addresses, **facts):
    return Listeners(
        tuple(
            listener(address=address, family="ipv6" if ":" in address else "ipv4", owners=(NGINX,), **facts)
            for address in addresses
        )
    )


def test_table_joins_the_addresses_of_a_service():
    assert str(one_service(*ADDRESSES)).splitlines()[1] == f"tcp      80  {', '.join(ADDRESSES)}  nginx 812"
    every = one_service(*ADDRESSES).to_text(every_socket=True).splitlines()[1:]
    assert [line.split()[2] for line in every] == list(ADDRESSES)


@pytest.mark.parametrize(
    ("sockets", "shown"),
    [
        ([("0.0.0.0", False)], "* IPv4"),
        ([("::", False)], "* IPv6"),
        ([("::", True)], "*"),
        ([("::", None)], "*"),
        ([("0.0.0.0", False), ("::", False)], "*"),
        ([("0.0.0.0", False), ("127.0.0.1", False)], "* IPv4, 127.0.0.1"),
    ],
)
def test_wildcard_addresses_are_one_star(sockets, shown):
    rows = Listeners(
        tuple(
            listener(address=address, family="ipv6" if ":" in address else "ipv4", dual_stack=dual, owners=(NGINX,))
            for address, dual in sockets
        )
    )
    assert str(rows).splitlines()[1] == f"tcp      80  {shown.ljust(7)}  nginx 812"


def test_narrow_table_shortens_addresses_then_the_unit_and_keeps_the_process():
    unit = "a-service-with-a-rather-long-name-indeed.service"
    rows = one_service(*ADDRESSES, unit=unit, user="administrator")
    assert [rows.to_text(columns).splitlines()[1] for columns in (110, 80, 60)] == [
        f"tcp      80  127.0.0.1 +3 more  nginx 812  administrator  {unit}",
        "tcp      80  127.0.0.1 +3  nginx 812  administrator  a-service-with-a-rather…",
        "tcp      80  127…0.1 +3  nginx 812  adminis…  a-service-wit…",
    ]


@pytest.mark.parametrize(
    ("cgroup", "shown"),
    [
        ("/system.slice/docker-{}.scope", "docker 614743f188db"),
        ("/docker/{}", "docker 614743f188db"),
        ("/machine.slice/libpod-{}.scope", "podman 614743f188db"),
        ("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{}.scope", "containerd 614743f188db"),
        ("/kubepods/burstable/pod1/{}", "container 614743f188db"),
    ],
)
def test_table_shows_containers_in_short(cgroup, shown):
    container = "614743f188db" + "0" * 52
    rows = Listeners(
        (listener(container=container, cgroup=cgroup.format(container), unit=f"docker-{container}.scope"),)
    )
    assert str(rows).splitlines()[1].endswith(f"  {shown}")


def test_table_shows_the_service_before_its_manager_and_counts_the_others():
    names = ("systemd", "web", "web", "helper", "log")
    owners = tuple(Process(pid, name) for pid, name in enumerate(names, 1))
    assert str(Listeners((listener(owners=owners),))).splitlines()[1].endswith("  web 2 +1, helper 4 +2")


def test_untrusted_names_are_escaped():
    untrusted = listener(owners=(Process(1, "<script>\x1b[2J\n\u202e"),))
    assert r"<script>\x1b[2J\n\u202e" in str(Listeners((untrusted,)))
    html = Listeners((untrusted,))._repr_html_()
    assert "<script>" not in html
    assert r"&lt;script&gt;\x1b[2J\n\u202e" in html
    assert "<script>" not in untrusted._repr_html_()
