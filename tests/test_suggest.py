"""A number for a name: always safe, always the same, and spread evenly."""

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
from recorded import RecordedHost, names

import portrange
from portrange import Assignment, Span, suggest_port
from portrange._questions.suggest import FIRST, LAST
from portrange._registry.pools import COMMON_SYSTEMS, DEFAULT_POOLS
from portrange._registry.refused import BAD_PORTS

#: A Linux with the documented settings, so that the settings of the machine that runs the tests have no say.
LINUX = RecordedHost("linux-6.18").snapshot()
NAMES = 100_000
#: Hosts whose pool has every port that may be suggested.
EVERYTHING_IS_HANDED_OUT = {"openbsd-7.6", "win32-10.0-split"}


class Elsewhere(portrange.Host):
    """A platform of which nothing is known."""

    def __init__(self, platform: str) -> None:
        super().__init__()
        self._platform = platform

    @property
    def platform(self) -> str:
        return self._platform


@pytest.fixture(scope="module")
def suggestions() -> list[int]:
    """The ports of many names, of all lengths and alphabets."""
    drawn = random.Random(20260213)
    alphabet = string.ascii_letters + string.digits + "-_./ äöüßéłŁ東京🐍"
    many: set[str] = set()
    while len(many) < NAMES:
        many.add("".join(drawn.choices(alphabet, k=drawn.randint(1, 40))) + "x")
    return [suggest_port(name, host=LINUX) for name in many]


def allowed(port: int) -> bool:
    info = portrange.classify(port, host=LINUX)
    return (
        info.safe
        and info.assignment is Assignment.UNASSIGNED
        and not {"linux", "macos", "windows"} & set(info.ephemeral_by_default_on)
        and not any(risk.kind in ("browser", "restricted") for risk in info.risks)
    )


def test_every_suggestion_is_safe_unassigned_and_not_refused(suggestions: list[int]):
    distinct = set(suggestions)
    assert len(suggestions) == NAMES
    assert all(map(allowed, distinct))
    assert not distinct & BAD_PORTS
    assert min(distinct) >= 1024


def test_suggestions_are_spread_evenly(suggestions: list[int]):
    possible = [port for port in range(FIRST, LAST + 1) if allowed(port)]
    expected = NAMES / len(possible)
    drawn = Counter(suggestions)
    assert set(drawn) <= set(possible)
    chi_squared = sum((drawn[port] - expected) ** 2 for port in possible) / expected
    # For so many degrees of freedom it is normally distributed, with this mean and deviation.
    freedom = len(possible) - 1
    assert abs(chi_squared - freedom) < 4 * sqrt(2 * freedom)


def test_ports_after_assigned_ones_are_not_preferred(suggestions: list[int]):
    """Whoever goes to the next free port from an assigned one fills up what follows the blocks of the registry."""
    after = {port for port in range(FIRST + 1, LAST + 1) if allowed(port) and not allowed(port - 1)}
    possible = sum(map(allowed, range(FIRST, LAST + 1)))
    expected = NAMES * len(after) / possible
    assert abs(sum(port in after for port in suggestions) - expected) < 4 * sqrt(expected)


@pytest.mark.parametrize(
    ("name", "port"), [("my-service", 26756), ("a", 19613), ("b", 19878), ("日本", 22746), ("My-Service", 20007)]
)
def test_the_numbers_of_this_registry(name: str, port: int):
    assert portrange.REGISTRY_DATE == "2026-02-13", "a new registry may move a few names: look at each"
    assert suggest_port(name, host=LINUX) == port


def test_the_documented_computation_gives_the_number():
    for name in ("my-service", "web", "日本", "x" * 1000):
        digest = hashlib.sha256(name.encode()).digest()
        a, b = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big")
        candidates = (1024 + (a + k * (1 + b % 31750)) % 31751 for k in range(31751))
        assert suggest_port(name, host=LINUX) == next(port for port in candidates if allowed(port))


def test_the_area_is_what_the_common_pools_and_privileges_leave():
    lowest = min(pool.first for pool in DEFAULT_POOLS if pool.system in COMMON_SYSTEMS)
    assert FIRST == 1024
    assert lowest - 1 == LAST
    size = LAST - FIRST + 1
    prime = next(number for number in range(size, 2 * size) if all(number % divisor for divisor in range(2, 200)))
    assert prime == 31751


def test_another_process_with_another_hash_seed_says_the_same():
    code = """
import json, portrange
host = portrange.Host().snapshot()  # Windows is asked through programs, which take their time
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
def test_a_host_with_its_usual_settings_has_no_say(recorded: str):
    host = RecordedHost(recorded).snapshot()
    assert [suggest_port(str(i), host=host) for i in range(300)] == [
        suggest_port(str(i), host=LINUX) for i in range(300)
    ]


@pytest.mark.parametrize("platform", ["emscripten", "wasi", "plan9"])
def test_a_platform_of_which_nothing_is_known_has_no_say(platform: str):
    assert [suggest_port(str(i), host=Elsewhere(platform)) for i in range(100)] == [
        suggest_port(str(i), host=LINUX) for i in range(100)
    ]


@pytest.mark.parametrize("recorded", sorted({*names()} - EVERYTHING_IS_HANDED_OUT))
def test_no_suggestion_is_what_its_host_keeps_for_itself(recorded: str):
    host = RecordedHost(recorded).snapshot()
    for i in range(20):
        info = portrange.classify(suggest_port(str(i), host=host), host=host)
        assert not any((info.ephemeral, info.reserved, info.excluded, info.privileged))
        assert info.assignment is Assignment.UNASSIGNED


def test_a_wider_pool_moves_only_the_names_inside():
    freebsd = RecordedHost("freebsd-13.0").snapshot()
    pool = portrange.ephemeral_range(host=freebsd)
    assert pool.first == 10000
    kept = moved = 0
    for i in range(300):
        usual = suggest_port(str(i), host=LINUX)
        there = suggest_port(str(i), host=freebsd)
        assert there not in pool
        if usual in pool:
            moved += 1
        else:
            kept += 1
            assert there == usual
    assert kept
    assert moved


@pytest.mark.parametrize("recorded", sorted(EVERYTHING_IS_HANDED_OUT))
def test_a_host_whose_pool_is_everything_is_told_so(recorded: str):
    with pytest.raises(portrange.PortrangeError, match=r"no port is left for 'x'.* this host keeps 31,744 for itself"):
        suggest_port("x", host=RecordedHost(recorded))


def test_what_listens_now_makes_no_difference():
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
    ids=str,
)
def test_avoided_ports_are_avoided(avoid: object):
    assert suggest_port("avoid", avoid=avoid, host=LINUX) != PORT


def test_avoided_ports_may_be_numbers_of_numpy():
    numpy = pytest.importorskip("numpy")
    for avoid in ([numpy.uint16(PORT)], numpy.array([PORT])):
        assert suggest_port("avoid", avoid=avoid, host=LINUX) != PORT


@pytest.mark.parametrize("avoid", [[], (), [80], [(60000, 60010)], [range(0)], [range(PORT + 1, PORT + 9)], ["linux"]])
def test_what_is_avoided_elsewhere_changes_nothing(avoid: object):
    assert suggest_port("avoid", avoid=avoid, host=LINUX) == PORT


def test_a_step_of_a_range_is_kept():
    assert suggest_port("avoid", avoid=[range(PORT - 3, PORT + 10, 2)], host=LINUX) == PORT


def test_systems_are_avoided_by_their_default_pool():
    for i in range(200):
        assert suggest_port(str(i), avoid=["freebsd"], host=LINUX) < 10000
        assert suggest_port(str(i), avoid=["freebsd", "dragonfly"], host=LINUX) in range(5001, 10000)


def test_avoiding_everything_but_one_finds_that_one():
    possible = [port for port in range(FIRST, LAST + 1) if allowed(port)]
    for left in (possible[0], possible[len(possible) // 2], possible[-1]):
        assert suggest_port("any", avoid=[(0, left - 1), (left + 1, 65535)], host=LINUX) == left


@pytest.mark.parametrize("avoid", [["openbsd"], [(0, 65535)], [range(65536)]])
def test_avoiding_everything_is_refused_with_the_reason(avoid: list[object]):
    with pytest.raises(portrange.PortrangeError, match="avoid names 31,744 and this host keeps 0 for itself"):
        suggest_port("x", avoid=avoid, host=LINUX)


@pytest.mark.parametrize(
    ("avoid", "error", "sentence"),
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
def test_what_cannot_be_avoided_is_refused(avoid: object, error: type[Exception], sentence: str):
    with pytest.raises(error, match=sentence):
        suggest_port("x", avoid=avoid)


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        (8080, TypeError, "a name is a string, not int: 8080"),
        (None, TypeError, "a name is a string"),
        (b"x", TypeError, "a name is a string, not bytes"),
        ("", ValueError, "a name is needed"),
        ("  \n", ValueError, "a name is needed"),
        ("\ud800", ValueError, "cannot be written in UTF-8"),
    ],
)
def test_what_is_no_name_is_refused(name: object, error: type[Exception], sentence: str):
    with pytest.raises(error, match=sentence):
        suggest_port(name)


def test_similar_names_have_nothing_in_common():
    ports = [suggest_port(f"service-{i}", host=LINUX) for i in range(10)]
    assert len(set(ports)) == 10
    assert max(ports) - min(ports) > 1000
