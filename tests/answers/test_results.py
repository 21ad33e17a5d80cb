from __future__ import annotations

import json

import pytest

from portrange import (
    BoundSocket,
    InvalidPortError,
    Listener,
    Listeners,
    Obstacle,
    Obstacles,
    Process,
    services,
)

NGINX = Process(812, "nginx")
WORKER = Process(813, "nginx")
PYTHON = Process(2034, "python3")


def listener(port: int = 80, **changes) -> Listener:
    facts = {"user": "root", "uid": 0, "unit": None, "cgroup": "/", **changes}
    return Listener(**{"protocol": "tcp", "family": "ipv4", "address": "0.0.0.0", "port": port, **facts})


WEB = listener(owners=(NGINX, WORKER), unit="nginx.service", cgroup="/system.slice/nginx.service")
APP = listener(8000, owners=(PYTHON,), user="alice", uid=1000)
DNS = listener(53, protocol="udp", hidden=True, cgroup=None)
FOUND = Listeners((DNS, WEB, APP), ("a reason",))


def test_slice_keeps_type_and_incomplete():
    assert FOUND[1:] == Listeners((WEB, APP), ("a reason",))
    assert FOUND[::-1][0] == APP
    assert FOUND[9:] == Listeners((), ("a reason",))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"process": "python3"}, [APP]),
        ({"process": 813}, [WEB]),
        ({"user": "root", "protocol": "tcp"}, [WEB]),
        ({"user": 1000}, [APP]),
        ({"unit": "nginx.service"}, [WEB]),
        ({"protocol": "udp"}, [DNS]),
        ({"protocol": "sctp"}, []),
        ({}, [DNS, WEB, APP]),
    ],
)
def test_where_returns_the_items_that_match_all_arguments(wanted, expected):
    found = FOUND.where(**wanted)
    assert type(found) is Listeners
    assert list(found) == expected
    assert found.incomplete[0] == "a reason"


def test_where_counts_items_that_may_match():
    assert FOUND.where(process="nginx").incomplete == ("a reason", "1 left out: process unknown")
    assert FOUND.where(process="nginx", unit="x.service").incomplete[1:] == ("1 left out: process or unit unknown",)
    assert FOUND.where(process="nginx", protocol="tcp").incomplete == ("a reason",)
    assert Listeners((DNS,)).where(process=1), "an empty result would mean that process 1 does not listen"


def test_where_excludes_closed_connections_which_have_no_owner():
    closed = BoundSocket("tcp", "ipv4", "127.0.0.1", 80, state="time-wait")
    obstacles = Obstacles((Obstacle("time-wait", "closed", socket=closed), Obstacle("privileged", "no privilege")))
    assert obstacles.where(process="nginx") == Obstacles()
    assert obstacles.where(protocol="tcp") == obstacles[:1]


def test_port_is_in_a_sequence_if_an_item_is_on_it():
    assert 8000 in FOUND
    assert 8001 not in FOUND
    assert WEB in FOUND
    assert listener(1) not in FOUND
    assert 443 in services("https")
    assert 6003 in services("x11"), "the ports of a service can be a range"


@pytest.mark.parametrize("value", ["8000", 8000.0, True, None])
def test_membership_rejects_what_is_neither_port_nor_result(value):
    with pytest.raises(TypeError, match="a port is a whole number"):
        _ = value in FOUND


def test_membership_rejects_numbers_that_are_no_ports():
    with pytest.raises(InvalidPortError):
        _ = 65536 in FOUND


def test_flat_dictionaries_have_scalars_only():
    rows = FOUND.to_dicts(flat=True)
    assert rows[1] == {
        "protocol": "tcp",
        "address": "0.0.0.0",
        "port": 80,
        "pid": 812,
        "process": "nginx",
        "user": "root",
        "unit": "nginx.service",
        "owners": "nginx (812), nginx (813)",
    }
    assert rows[0]["owners"] == "owner hidden"
    obstacles = Obstacles((Obstacle("listener", "in use", socket=BoundSocket("tcp", "ipv4", "127.0.0.1", 80)),))
    for results in (FOUND, obstacles, Obstacles((Obstacle("privileged", "no privilege"),)), services("x11")):
        for row in results.to_dicts(flat=True):
            assert all(value is None or isinstance(value, (str, int, float)) for value in row.values())
            assert json.loads(json.dumps(row)) == row
    with_and_without = [*obstacles.to_dicts(flat=True), *Obstacles((Obstacle("hidden", "?"),)).to_dicts(flat=True)]
    assert list(with_and_without[0]) == list(with_and_without[1])


def test_repr_is_short():
    assert repr(APP) == "<Listener tcp 0.0.0.0:8000 python3 2034>"
    assert repr(WEB) == "<Listener tcp 0.0.0.0:80 nginx 812 +1>"
    assert repr(DNS) == "<Listener udp 0.0.0.0:53 ?>"
    assert repr(listener(owners=(Process(1, "e\x1b[2J"),))) == r"<Listener tcp 0.0.0.0:80 e\x1b[2J 1>"
    assert repr(FOUND[:1]) == "<Listeners [<Listener udp 0.0.0.0:53 ?>], incomplete=['a reason']>"
    assert repr(Listeners((APP,) * 5)).endswith(", 2 more]>")
    assert repr(Obstacles((Obstacle("listener", "in use", socket=BoundSocket(**APP_SOCKET), count=2),))) == (
        "<Obstacles [<Obstacle listener tcp 127.0.0.1:80 no process ×2>]>"
    )


APP_SOCKET = {"protocol": "tcp", "family": "ipv4", "address": "127.0.0.1", "port": 80}


def test_text_and_html_are_tables():
    text = str(services("https"))
    assert text.splitlines()[0].split() == ["NAME", "PORT", "PROTO", "DESCRIPTION"]
    assert "https" in text.splitlines()[1]
    assert "<table" in services("https")._repr_html_()
    assert str(services("no such service")) == "no services"
    assert Obstacles()._repr_html_() == "<p>no obstacles</p>"
    table = Obstacles((Obstacle("privileged", "no privilege"), Obstacle("hidden", "<b>")))
    assert str(table).splitlines()[1] == "privileged  no privilege"
    assert "&lt;b&gt;" in table._repr_html_()


def test_obstacles_block_if_one_of_them_does():
    note = Obstacle("reserved", "reserved", blocks=False)
    assert not Obstacles((note,)).blocks
    assert Obstacles((note, Obstacle("refused", "refused"))).blocks
