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
    assert lines[0].split() == ["PROTO", "ADDRESS", "USER", "OWNER"]
    assert len({line.index(cell) for line, cell in zip(lines, ["ADDRESS", "0.0.0.0", "[::]"], strict=True)}) == 1
    assert "[::]:8080 and IPv4" in lines[2]
    assert all(len(line) <= 30 for line in rows.to_text(30).splitlines())


def test_table_shows_workers_that_share_a_port_as_one_row():
    first, second, other = (Process(pid, name) for pid, name in ((1, "web"), (2, "web"), (3, "proxy")))
    rows = Listeners(
        (
            listener(owners=(first,), user="a"),
            listener(owners=(second,), user="a"),
            listener(owners=(other,), user="a"),
            listener(owners=(second,), user="b"),
            listener(owners=(first,), user="a", protocol="udp"),
            listener(owners=(second,), user="a", namespace="net:[1]"),
        )
    )
    lines = str(rows).splitlines()[1:]
    assert [line.split(maxsplit=2)[-1] for line in lines] == [
        "×2  a     web (1), web (2)",
        "a     proxy (3)",
        "b     web (2)",
        "a     web (1)",
        "a     web (2)",
    ]
    assert rows._repr_html_().count("<tr>") == 1 + len(lines)
    assert len(rows.to_dicts()) == len(rows) == 6


def test_table_counts_hidden_workers_that_share_a_port():
    rows = Listeners((*[listener(hidden=True, possible_owners=(NGINX,))] * 3, listener(hidden=True)))
    assert [line.split(maxsplit=2)[2] for line in str(rows).splitlines()[1:]] == [
        "×3  owner hidden, possibly nginx (812)",
        "owner hidden",
    ]


def test_untrusted_names_are_escaped():
    untrusted = listener(owners=(Process(1, "<script>\x1b[2J\n\u202e"),))
    assert r"<script>\x1b[2J\n\u202e" in str(Listeners((untrusted,)))
    html = Listeners((untrusted,))._repr_html_()
    assert "<script>" not in html
    assert r"&lt;script&gt;\x1b[2J\n\u202e" in html
    assert "<script>" not in untrusted._repr_html_()
