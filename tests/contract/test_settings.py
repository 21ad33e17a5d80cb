"""Invariants of the settings of every recorded system."""

from __future__ import annotations

import json
from itertools import product

import pytest
from recorded import RecordedHost, names

from portrange import ParseError, PortSettings, classify, ephemeral_range
from portrange._backends.select import backend_for
from portrange._registry.facts import DEFAULT_RANGES

PORTS = (0, 1, 80, 1023, 1024, 2049, 5357, 8080, 32768, 49152, 50000, 55555, 60999, 65535)
KEYS = list(product(("tcp", "udp"), ("ipv4", "ipv6")))


@pytest.fixture(params=names())
def host(request):
    return RecordedHost(request.param)


def settings_of(host) -> PortSettings:
    return backend_for(host).port_settings(host)


def test_settings_state_a_reason_for_unknown_facts(host):
    settings = settings_of(host)
    unknown = [
        fact for fact in (settings.pools, settings.reserved, settings.excluded, settings.privileged) if fact is None
    ]
    assert bool(unknown) == bool(settings.incomplete)
    assert all(reason.strip() and "\n" not in reason for reason in settings.incomplete)
    json.dumps(settings.to_dict())


def test_ephemeral_range_lies_within_valid_ports(host):
    for protocol, family in KEYS:
        try:
            ephemeral = ephemeral_range(protocol=protocol, family=family, host=host)
        except ParseError:
            assert "garbled" in host.directory.name
            continue
        assert 0 <= ephemeral.first <= ephemeral.last <= 65535
        assert (ephemeral.protocol, ephemeral.family) == (protocol, family)
        assert ephemeral.source
        assert ephemeral.assumed or ephemeral.source != "documented default"


def test_readable_range_is_not_assumed_and_names_its_source(host):
    settings = settings_of(host)
    if settings.pools is None:
        return
    known = {(ephemeral.first, ephemeral.last, ephemeral.source, ephemeral.assumed) for ephemeral in settings.pools}
    reported = {
        (ephemeral.first, ephemeral.last, ephemeral.source, ephemeral.assumed)
        for ephemeral in (ephemeral_range(protocol=p, family=f, host=host) for p, f in KEYS)
    }
    assert known == reported
    assert {source for fact, source in settings.sources if fact == "pools"} == {source for _, _, source, _ in known}


def test_ranges_of_the_settings_are_those_of_their_protocol_and_family(host):
    for ephemeral in settings_of(host).pools or ():
        assert ephemeral_range(protocol=ephemeral.protocol, family=ephemeral.family, host=host) == ephemeral


def test_port_is_never_both_ephemeral_and_reserved(host):
    for port in PORTS:
        info = classify(port, host=host)
        if info.reserved or info.excluded:
            assert info.ephemeral is not True or len(info.settings.pools or ()) > 1


def test_snapshot_has_the_same_settings(host):
    snapshot = host.snapshot()
    assert settings_of(snapshot) == settings_of(host)
    assert settings_of(snapshot) is settings_of(snapshot)


def test_reading_settings_binds_no_sockets(host):
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
def test_documented_default_range_is_the_same_in_all_sources(system, name):
    host = RecordedHost(name)
    ephemeral = ephemeral_range(host=host)
    listed = next(ephemeral for ephemeral in DEFAULT_RANGES if ephemeral.system == system)
    default = backend_for(UnreadableHost(name)).ephemeral_range(UnreadableHost(name), "tcp", "ipv4")
    assert (listed.first, listed.last) == (ephemeral.first, ephemeral.last) == (default.first, default.last)
    assert (default.assumed, default.source) == (True, "documented default")
    assert settings_of(host).platform == system


class UnreadableHost(RecordedHost):
    """A recorded host on which no source can be read."""

    def read_sysctl(self, name):
        raise FileNotFoundError(2, "No such file or directory", name)

    def sysctl(self, name):
        raise PermissionError(1, "Operation not permitted", str(name))

    def run(self, *command):
        raise FileNotFoundError(2, "No such file or directory", command[0])


@pytest.mark.parametrize("name", names())
def test_unreadable_host_uses_the_documented_default(name):
    host = UnreadableHost(name)
    for protocol, family in KEYS:
        ephemeral = ephemeral_range(protocol=protocol, family=family, host=host)
        assert (ephemeral.assumed, ephemeral.source) == (True, "documented default")
    info = classify(60000, host=host)
    assert info.ephemeral is None
    assert info.settings.incomplete


@pytest.mark.parametrize(
    ("name", "read"),
    [("linux-6.18", ["pools", "reserved", "privileged"]), ("freebsd-13.0", ["pools", "privileged"])],
)
def test_platform_constants_have_no_source(name, read):
    assert [fact for fact, _ in settings_of(RecordedHost(name)).sources] == read


@pytest.mark.parametrize("name", ["aix-7.2", "win32-10.0", "sunos-5.11", "netbsd-10.0-split"])
def test_settings_read_each_source_once(name):
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
