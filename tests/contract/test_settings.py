"""What holds of the settings of every system, whatever its recorded machine tells."""

from __future__ import annotations

import json
from itertools import product

import pytest
from recorded import RecordedHost, names

from portrange import ParseError, PortSettings, classify, ephemeral_range
from portrange._backends.select import backend_for
from portrange._registry.pools import DEFAULT_POOLS

PORTS = (0, 1, 80, 1023, 1024, 2049, 5357, 8080, 32768, 49152, 50000, 55555, 60999, 65535)
KEYS = list(product(("tcp", "udp"), ("ipv4", "ipv6")))


@pytest.fixture(params=names())
def host(request):
    return RecordedHost(request.param)


def settings_of(host) -> PortSettings:
    return backend_for(host).settings(host)


def test_settings_always_answer_and_say_why_something_is_unknown(host):
    settings = settings_of(host)
    unknown = [
        fact for fact in (settings.pools, settings.reserved, settings.excluded, settings.privileged) if fact is None
    ]
    assert bool(unknown) == bool(settings.incomplete)
    assert all(reason.strip() and "\n" not in reason for reason in settings.incomplete)
    json.dumps(settings.to_dict())


def test_every_pool_lies_within_the_ports(host):
    for protocol, family in KEYS:
        try:
            pool = ephemeral_range(protocol=protocol, family=family, host=host)
        except ParseError:
            assert "garbled" in host.directory.name
            continue
        assert 0 <= pool.first <= pool.last <= 65535
        assert (pool.protocol, pool.family) == (protocol, family)
        assert pool.source
        assert pool.assumed or pool.source != "documented default"


def test_what_can_be_read_is_not_assumed_and_names_its_source(host):
    settings = settings_of(host)
    if settings.pools is None:
        return
    known = {(pool.first, pool.last, pool.source) for pool in settings.pools}
    asked = {
        (pool.first, pool.last, pool.source)
        for pool in (ephemeral_range(protocol=p, family=f, host=host) for p, f in KEYS)
    }
    assert known == asked
    assert {source for fact, source in settings.sources if fact == "pools"} == {source for _, _, source in known}


def test_a_port_is_never_both_handed_out_and_set_aside(host):
    for port in PORTS:
        info = classify(port, host=host)
        if info.reserved or info.excluded:
            assert info.ephemeral is not True or len(info.settings.pools or ()) > 1


def test_a_frozen_host_tells_the_same(host):
    frozen = host.snapshot()
    assert settings_of(frozen) == settings_of(host)
    assert settings_of(frozen) is settings_of(frozen)


def test_no_setting_is_read_by_looking_at_sockets(host):
    for port in PORTS:
        classify(port, host=host)
    assert host.bound == []


@pytest.mark.parametrize(
    ("system", "name"),
    [
        ("linux", "linux-6.18"),
        ("macos", "darwin-24.4"),
        ("windows", "win32-10.0"),
        ("freebsd", "freebsd-13.0"),
        ("openbsd", "openbsd-7.6"),
        ("netbsd", "netbsd-10.0"),
        ("dragonfly", "dragonfly-6.4"),
        ("solaris", "sunos-5.11"),
        ("aix", "aix-7.2"),
    ],
)
def test_the_default_of_a_system_is_the_same_wherever_it_is_written_down(system, name):
    host = RecordedHost(name)
    pool = ephemeral_range(host=host)
    listed = next(pool for pool in DEFAULT_POOLS if pool.system == system)
    default = backend_for(Nothing(name)).pool(Nothing(name), "tcp", "ipv4")
    assert (listed.first, listed.last) == (pool.first, pool.last) == (default.first, default.last)
    assert (default.assumed, default.source) == (True, "documented default")
    assert settings_of(host).platform == system


class Nothing(RecordedHost):
    """A machine of that system that tells nothing at all."""

    def read_sysctl(self, name):
        raise FileNotFoundError(2, "No such file or directory", name)

    def sysctl(self, name):
        raise PermissionError(1, "Operation not permitted", str(name))

    def run(self, *command):
        raise FileNotFoundError(2, "No such file or directory", command[0])


@pytest.mark.parametrize("name", names())
def test_a_machine_that_tells_nothing_is_answered_for_with_its_default(name):
    host = Nothing(name)
    for protocol, family in KEYS:
        pool = ephemeral_range(protocol=protocol, family=family, host=host)
        assert (pool.assumed, pool.source) == (True, "documented default")
    info = classify(60000, host=host)
    assert info.ephemeral is None
    assert info.settings.incomplete


@pytest.mark.parametrize(
    ("name", "read"),
    [("linux-6.18", ["pools", "reserved", "privileged"]), ("freebsd-13.0", ["pools", "privileged"])],
)
def test_what_holds_on_every_machine_of_a_system_has_no_source(name, read):
    assert [fact for fact, _ in settings_of(RecordedHost(name)).sources] == read


@pytest.mark.parametrize("name", ["aix-7.2", "win32-10.0", "sunos-5.11", "netbsd-10.0-split"])
def test_one_answer_reads_each_source_once(name):
    class Counting(RecordedHost):
        def run(self, *command):
            read.append(command)
            return super().run(*command)

        def sysctl(self, name):
            read.append((name,))
            return super().sysctl(name)

    read = []
    settings_of(Counting(name))
    assert read
    assert len(read) == len(set(read))
