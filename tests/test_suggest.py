"""suggest_port: safe, stable and evenly distributed."""

from __future__ import annotations

import hashlib
import json
import os
import random
import string
import subprocess
import sys
from collections import Counter
from math import sqrt
from pathlib import Path

import pytest
from fakes import SystemHost
from recorded import RecordedHost, names

import portrange
from portrange import Assignment, Span, suggest_port
from portrange._questions.suggest import FIRST, LAST
from portrange._registry.facts import BAD_PORTS, COMMON_PORTS, ORCHESTRATOR_RANGES
from portrange.testing import FakeHost

#: A recorded Linux with default settings, so that results do not depend on this machine.
LINUX = RecordedHost("linux-6.18").snapshot()
NAMES = 100_000
#: Hosts whose ephemeral range contains every port that can be suggested.
WITHOUT_CANDIDATES = {"openbsd-7.6", "win32-10.0-split"}
#: Hosts where a setting that decides about ports above 1023 could not be read.
WITH_UNREADABLE_SETTINGS = {
    "darwin-24.4-garbled",
    "linux-4.4-wsl1",
    "linux-5.10-android",
    "linux-6.18-denied",
    "linux-6.18-garbled",
    "openbsd-7.6-pledged",
    "win32-10.0-wine",
    "win32-10.0-wine-recorded",
}


class Elsewhere(SystemHost):
    """A host on an unsupported platform."""

    def __init__(self, platform: str) -> None:
        super().__init__()
        self._platform = platform

    @property
    def platform(self) -> str:
        return self._platform


@pytest.fixture(scope="module")
def suggestions() -> list[int]:
    """Return the suggested ports of many names of various lengths and alphabets."""
    drawn = random.Random(20260213)
    alphabet = string.ascii_letters + string.digits + "-_./ äöüßéłŁ東京🐍"
    many: set[str] = set()
    while len(many) < NAMES:
        many.add("".join(drawn.choices(alphabet, k=drawn.randint(1, 40))) + "x")
    return [suggest_port(name, host=LINUX) for name in many]


def allowed(port: int) -> bool:
    info = portrange.classify(port, host=LINUX)
    return info.risks == () and info.assignment is Assignment.UNASSIGNED


def test_suggestions_are_safe_unassigned_and_not_blocked(suggestions: list[int]):
    distinct = set(suggestions)
    assert len(suggestions) == NAMES
    assert all(map(allowed, distinct))
    assert not distinct & BAD_PORTS
    assert not distinct & COMMON_PORTS
    assert not any(ports.first <= port <= ports.last for port in distinct for ports in ORCHESTRATOR_RANGES)
    assert min(distinct) >= 1024


def test_suggestions_are_evenly_distributed(suggestions: list[int]):
    possible = [port for port in range(FIRST, LAST + 1) if allowed(port)]
    expected = NAMES / len(possible)
    drawn = Counter(suggestions)
    assert set(drawn) <= set(possible)
    chi_squared = sum((drawn[port] - expected) ** 2 for port in possible) / expected
    # With this many degrees of freedom, chi-squared is nearly normal with this mean and deviation.
    freedom = len(possible) - 1
    assert abs(chi_squared - freedom) < 4 * sqrt(2 * freedom)


def test_ports_after_assigned_ports_are_not_preferred(suggestions: list[int]):
    """Searching upwards from an assigned port would favour the ports that follow blocks of the registry."""
    after = {port for port in range(FIRST + 1, LAST + 1) if allowed(port) and not allowed(port - 1)}
    possible = sum(map(allowed, range(FIRST, LAST + 1)))
    expected = NAMES * len(after) / possible
    assert abs(sum(port in after for port in suggestions) - expected) < 4 * sqrt(expected)


@pytest.mark.parametrize(
    ("name", "port"), [("my-service", 10627), ("a", 19723), ("b", 8267), ("日本", 18442), ("My-Service", 16516)]
)
def test_suggestions_for_the_bundled_registry_are_stable(name: str, port: int):
    assert portrange.REGISTRY_DATE == "2026-02-13", "a new registry may move a few names: check each"
    assert suggest_port(name, host=LINUX) == port


def test_suggest_follows_the_documented_algorithm():
    for name in ("my-service", "web", "日本", "x" * 1000):
        digest = hashlib.sha256(name.encode()).digest()
        a, b = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big")
        candidates = (1024 + (a + k * (1 + b % 18978)) % 18979 for k in range(18979))
        assert suggest_port(name, host=LINUX) == next(port for port in candidates if allowed(port))


def test_bounds_exclude_privileged_ports_and_ranges_of_orchestrators():
    assert FIRST == 1024
    assert min(ports.first for ports in ORCHESTRATOR_RANGES) - 1 == LAST == 19999
    size = LAST - FIRST + 1
    prime = next(number for number in range(size, 2 * size) if all(number % divisor for divisor in range(2, 200)))
    assert prime == 18979


def test_suggest_does_not_depend_on_the_hash_seed():
    code = """
import json, portrange
host = portrange.Host().snapshot()  # each query on Windows runs slow commands
print(json.dumps([portrange.suggest_port(f'name {i}', host=host) for i in range(200)]))
"""
    root = Path(portrange.__file__).parent.parent
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(answers) == 1
    host = portrange.Host().snapshot()
    assert json.loads(answers.pop()) == [suggest_port(f"name {i}", host=host) for i in range(200)]


@pytest.mark.parametrize("recorded", ["linux-6.18", "darwin-24.4", "win32-10.0", "win32-10.0-wine", "netbsd-10.0"])
def test_host_with_default_settings_does_not_change_suggestions(recorded: str):
    host = RecordedHost(recorded).snapshot()
    assert [suggest_port(str(i), host=host) for i in range(300)] == [
        suggest_port(str(i), host=LINUX) for i in range(300)
    ]


@pytest.mark.parametrize("platform", ["emscripten", "wasi", "plan9"])
def test_unknown_platform_does_not_change_suggestions(platform: str):
    assert [suggest_port(str(i), host=Elsewhere(platform)) for i in range(100)] == [
        suggest_port(str(i), host=LINUX) for i in range(100)
    ]


@pytest.mark.parametrize("recorded", sorted({*names()} - WITHOUT_CANDIDATES))
def test_suggestion_is_not_ephemeral_or_refused_on_its_host(recorded: str):
    host = RecordedHost(recorded).snapshot()
    for i in range(20):
        info = portrange.classify(suggest_port(str(i), host=host), host=host)
        assert not any((info.ephemeral, info.reserved, info.excluded, info.privileged))
        assert info.assignment is Assignment.UNASSIGNED
        # A setting that could not be read is a risk of every port. On all other hosts `check --strict` passes.
        expected = [("unknown", "high")] if recorded in WITH_UNREADABLE_SETTINGS else []
        assert [(risk.kind, risk.severity) for risk in info.risks] == expected


def test_wider_ephemeral_range_moves_only_the_names_inside():
    freebsd = RecordedHost("freebsd-13.0").snapshot()
    ephemeral = portrange.ephemeral_range(host=freebsd)
    assert ephemeral.first == 10000
    kept = moved = 0
    for i in range(300):
        usual = suggest_port(str(i), host=LINUX)
        on_freebsd = suggest_port(str(i), host=freebsd)
        assert on_freebsd not in ephemeral
        if usual in ephemeral:
            moved += 1
        else:
            kept += 1
            assert on_freebsd == usual
    assert kept
    assert moved


@pytest.mark.parametrize("recorded", sorted(WITHOUT_CANDIDATES))
def test_host_without_candidates_raises_portrange_error(recorded: str):
    with pytest.raises(
        portrange.PortrangeError, match=r"no port is left for 'x'.* the settings of this host exclude 18,976"
    ):
        suggest_port("x", host=RecordedHost(recorded))


@pytest.mark.parametrize(
    ("settings", "avoid", "text"),
    [
        (
            {"pools": (portrange.EphemeralRange(1024, 65535),)},
            [],
            (
                "avoid excludes 0 and the settings of this host exclude 18,976 (18,976 ephemeral); "
                "reduce the ephemeral range of this host"
            ),
        ),
        (
            {"reserved": (Span(1024, 9999),), "excluded": (Span(10000, 14999),), "privileged": (Span(1, 19999),)},
            [],
            (
                "exclude 18,976 (8,976 reserved, 5,000 excluded, 18,976 privileged); "
                "reserve fewer ports on this host, or exclude fewer ports on this host, "
                "or require a privilege for fewer ports on this host"
            ),
        ),
        ({}, [(1024, 19999)], "avoid excludes 18,976 and the settings of this host exclude 0; avoid fewer ports"),
    ],
)
def test_error_without_candidates_names_the_settings_to_change(settings, avoid, text):
    usual = {"pools": (portrange.EphemeralRange(32768, 60999),), "reserved": (), "excluded": (), "privileged": ()}
    host = FakeHost(settings=portrange.PortSettings("linux", **{**usual, **settings}))
    with pytest.raises(portrange.PortrangeError) as caught:
        suggest_port("x", avoid=avoid, host=host)
    assert str(caught.value).endswith(text)


def test_current_listener_does_not_change_the_suggestion():
    import socket

    port = suggest_port("what listens now makes no difference")
    with socket.create_server(("127.0.0.1", port)):
        assert suggest_port("what listens now makes no difference") == port


# --- avoid ----------------------------------------------------------------------------------------------------------

PORT = suggest_port("avoid", host=LINUX)


@pytest.mark.parametrize(
    "avoid",
    [
        [PORT],
        {PORT},
        iter([PORT]),
        [(PORT - 5, PORT + 5)],
        [[PORT, PORT]],
        [Span(PORT - 1, PORT)],
        [range(PORT, PORT + 1)],
        [range(PORT + 10, PORT - 10, -1)],
        [range(PORT - 30, PORT + 30, 3)],
    ],
    ids=lambda avoid: str(avoid).partition(" at ")[0],  # without the address of an object, so that the name repeats it
)
def test_suggest_honours_avoid(avoid: object):
    assert suggest_port("avoid", avoid=avoid, host=LINUX) != PORT


def test_avoid_accepts_numpy_integers():
    numpy = pytest.importorskip("numpy")
    for avoid in ([numpy.uint16(PORT)], numpy.array([PORT])):
        assert suggest_port("avoid", avoid=avoid, host=LINUX) != PORT


@pytest.mark.parametrize(
    "avoid", [[], (), [80], [(60000, 60010)], [range(0)], [range(PORT + 1, PORT + 9)], ["linux"], ["kubernetes"]]
)
def test_avoid_of_other_ports_does_not_change_the_suggestion(avoid: object):
    assert suggest_port("avoid", avoid=avoid, host=LINUX) == PORT


def test_avoid_honours_the_step_of_a_range():
    assert suggest_port("avoid", avoid=[range(PORT - 3, PORT + 10, 2)], host=LINUX) == PORT


def test_avoid_excludes_the_default_range_of_a_system():
    for i in range(200):
        assert suggest_port(str(i), avoid=["kubernetes", "Nomad"], host=LINUX) == suggest_port(str(i), host=LINUX)
        assert suggest_port(str(i), avoid=["freebsd"], host=LINUX) < 10000
        assert suggest_port(str(i), avoid=["freebsd", "dragonfly"], host=LINUX) in range(5001, 10000)


def test_avoid_all_but_one_port_suggests_that_port():
    possible = [port for port in range(FIRST, LAST + 1) if allowed(port)]
    for left in (possible[0], possible[len(possible) // 2], possible[-1]):
        assert suggest_port("any", avoid=[(0, left - 1), (left + 1, 65535)], host=LINUX) == left


@pytest.mark.parametrize("avoid", [["openbsd"], [(0, 65535)], [range(65536)]])
def test_avoid_all_ports_raises_portrange_error(avoid: list[object]):
    with pytest.raises(portrange.PortrangeError, match=r"avoid excludes 18,976 and the settings .* exclude 0"):
        suggest_port("x", avoid=avoid, host=LINUX)


@pytest.mark.parametrize(
    ("avoid", "error", "message"),
    [
        ("openbsd", TypeError, "avoid is a collection .* not 'openbsd'"),
        (b"openbsd", TypeError, "avoid is a collection"),
        (8080, TypeError, "avoid is a collection .* not 8080"),
        (None, TypeError, "avoid is a collection"),
        (["plan9"], ValueError, "unknown system 'plan9' in avoid: use one of 'linux', 'macos', 'windows'"),
        (["Plan 9"], ValueError, "unknown system 'Plan 9'"),
        ([(1, 2, 3)], ValueError, "a pair of its first and last port"),
        ([(9, 3)], ValueError, "begins with its lower port"),
        ([("1", 3)], TypeError, "a port is a whole number"),
        ([True], TypeError, "a port is a whole number, not a bool"),
        ([1.5], TypeError, "a port is a whole number, not float"),
        ([None], TypeError, "a port is a whole number"),
        ([70000], portrange.InvalidPortError, "70000 is not a port"),
        ([(1, 70000)], portrange.InvalidPortError, "70000 is not a port"),
        ([range(10**12)], portrange.InvalidPortError, "is not a port"),
    ],
)
def test_invalid_avoid_raises_error(avoid: object, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        suggest_port("x", avoid=avoid)


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        (8080, TypeError, "a name is a string, not int: 8080"),
        (None, TypeError, "a name is a string"),
        (b"x", TypeError, "a name is a string, not bytes"),
        ("", ValueError, "a name is needed"),
        ("  \n", ValueError, "a name is needed"),
        ("\ud800", ValueError, "cannot be encoded as UTF-8"),
    ],
)
def test_invalid_name_raises_error(name: object, error: type[Exception], message: str):
    with pytest.raises(error, match=message):
        suggest_port(name)


def test_similar_names_get_distant_ports():
    ports = [suggest_port(f"service-{i}", host=LINUX) for i in range(10)]
    assert len(set(ports)) == 10
    assert max(ports) - min(ports) > 1000
