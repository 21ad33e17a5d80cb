"""The command line."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from io import StringIO

import pytest
from this_system import IS_WINE, use_once

import portrange
from portrange import _cli
from portrange._cli.inputs import Target, parse_target
from portrange._cli.options import COMMON, WITH_VALUE, plain
from portrange._cli.output import COMMANDS, load
from portrange._cli.parser import parse

SOURCES = os.path.dirname(os.path.dirname(portrange.__file__))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in this process, which takes a twentieth of the time of a new one."""
    with redirect_stdout(StringIO()) as printed, redirect_stderr(StringIO()) as complaints:
        try:
            status = _cli.run(arguments, portrange.__version__)
        except SystemExit as end:
            status = end.code
    return subprocess.CompletedProcess(arguments, status, printed.getvalue(), complaints.getvalue())


def run_program(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process of its own, with options of `subprocess.run`."""
    # On Windows, pipes default to the encoding of the system locale.
    overrides = {"PYTHONPATH": SOURCES, "PYTHONIOENCODING": "utf-8", **options.pop("environment", {})}
    return subprocess.run(
        [sys.executable, "-m", portrange.__name__, *arguments],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, **overrides},
        **options,
    )


#: With unknown settings no port is safe, so that `check` fails (Wine: netsh prints nothing).
NEEDS_SETTINGS = pytest.mark.skipif(
    None in (portrange.classify(8080).ephemeral, portrange.classify(8080).excluded),
    reason="the port settings of this host cannot be read",
)
NEEDS_UNIX_SHELL = pytest.mark.skipif(
    os.name == "nt" or shutil.which("sh") is None,
    reason="requires a POSIX sh for redirection",
)


def run_redirected(*arguments: str, to: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {to}', "sh", sys.executable, "-m", portrange.__name__, *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=dict(os.environ, PYTHONPATH=SOURCES),
    )


@pytest.fixture
def server():
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        use_once(listening)
        yield listening.getsockname()[1]


def test_port_page_shows_owner_pid_and_command_line(server):
    done = run(str(server))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Port {server}    ")
    assert f" {os.getpid()} " in done.stdout.splitlines()[1]
    assert " ".join(portrange.who_listens(server)[0].owners[0].cmdline)[:20] in done.stdout


def test_port_page_of_free_port_has_no_listener():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert "Listening    nothing" in run(str(port)).stdout


def test_port_page_json(server):
    [answer] = json.loads(run(str(server), "--json").stdout)
    assert answer["port"]["number"] == server
    assert answer["listening"]["listeners"][0]["owners"][0]["pid"] == os.getpid()


def test_port_page_shows_connections_of_a_server_and_of_a_client(server):
    with ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", server))) for _ in range(3)]
        client = clients[0].getsockname()[1]
        page, other = run(str(server), str(client)).stdout.split("\n\n")
        [_, answer] = json.loads(run(str(server), str(client), "--json").stdout)
    [line] = [line for line in page.splitlines() if "Connected" in line]
    assert " ← 127.0.0.1:" in line
    assert line.endswith(" and 2 more")
    [line] = [line for line in other.splitlines() if "Connected" in line]
    assert line.endswith(f" {os.getpid()}  → 127.0.0.1:{server}")
    assert [(row["remote_port"], row["pid"]) for row in answer["connected"]] == [(server, os.getpid())]


def test_no_arguments_lists_all_listeners(server):
    done = run()
    assert any(f" {server}  127.0.0.1 " in line and f" {os.getpid()} " in line for line in done.stdout.splitlines())
    answer = json.loads(run("--json").stdout)
    assert server in [row["port"] for row in answer["listeners"]]


def test_options_are_accepted_before_the_port(server):
    assert json.loads(run("--json", str(server)).stdout)[0]["port"]["number"] == server
    answer = json.loads(run("--protocol", "udp", "--json").stdout)
    assert {row["protocol"] for row in answer["listeners"]} <= {"udp"}


def test_range_prints_the_ephemeral_range():
    ephemeral = portrange.ephemeral_range()
    done = run("range")
    assert f"{ephemeral.first}-{ephemeral.last}, {len(ephemeral):,} of them" in done.stdout
    assert json.loads(run("range", "--json", "--family", "ipv6").stdout)["first"] == ephemeral.first


def test_busy_exits_1_for_busy_port_and_0_for_free_port(server):
    done = run("busy", str(server))
    assert done.returncode == 1
    assert done.stdout.startswith(f"tcp 127.0.0.1:{server} in use by ")
    assert f"(pid {os.getpid()}): " in done.stdout
    free = run("busy", f"{server}/udp", "--json")
    [entry] = json.loads(free.stdout)
    assert (free.returncode, entry["protocol"], entry["free"], entry["obstacles"]) == (0, "udp", True, [])


def test_busy_takes_several_ports_and_standard_input(server):
    free = portrange.suggest_port(f"portrange-busy-{os.getpid()}")
    done = run_program("busy", str(free), "-", input=f" {server}\n")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == f"tcp {free} free (test bind succeeded)"
    assert lines[1].startswith(f"tcp 127.0.0.1:{server} in use by ")
    answer = json.loads(run("busy", str(free), str(server), "--json").stdout)
    assert [(entry["port"], entry["free"]) for entry in answer] == [(free, True), (server, False)]
    assert [obstacle["kind"] for obstacle in answer[1]["obstacles"] if obstacle["blocks"]] == ["listener"]
    assert run("busy", str(free), str(free)).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not have all of 127.0.0.0/8 as local addresses")
def test_busy_prints_one_line_for_a_server_on_many_addresses():
    with socket.create_server(("127.0.0.1", 0)) as first:
        port = first.getsockname()[1]
        with socket.create_server(("127.0.0.2", port)), socket.create_server(("127.0.0.3", port)):
            done = run("busy", str(port))
            answer = json.loads(run("busy", str(port), "--json").stdout)
    [line] = done.stdout.splitlines()
    assert line.startswith(f"tcp 127.0.0.1:{port} and 2 more addresses in use by ")
    assert len(answer[0]["obstacles"]) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="psutil does not show such sockets")
def test_port_page_shows_a_socket_that_is_bound_without_listening():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        page = run(str(bound.getsockname()[1])).stdout
    assert "  Listening    nothing\n" in page
    assert re.search(rf"^  Connected    tcp  .* {os.getpid()}  bound without listening$", page, re.MULTILINE)


@NEEDS_SETTINGS
def test_check_honours_strict_and_accept():
    inside = portrange.ephemeral_range().first
    done = run("check", "8080", str(inside))
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.startswith("8080  ok    registered as http-alt; commonly used by ")
    assert second.startswith(f"{inside} FAIL  in this host's ephemeral range ({inside}-")
    assert run("check", "8080").returncode == 0
    assert run("check", "--strict", "8080").returncode == 1
    accepted = ("--accept", "registered", "--accept", "common-use")
    assert run("check", "--strict", "8080", *accepted).returncode == 0
    assert run("check", str(inside), *accepted).returncode == 1
    answer = json.loads(run("check", "8080", str(inside), "--json").stdout)
    assert [entry["safe"] for entry in answer] == [True, False]
    assert [entry["passes"] for entry in json.loads(run("check", "8080", "--strict", "--json").stdout)] == [False]


def test_check_verbose_prints_each_risk_with_its_kind():
    inside = portrange.ephemeral_range().first
    done = run("check", "8080", str(inside), "--verbose")
    assert "            low: registered as http-alt: use it for that, or choose an unassigned port [registered]" in (
        done.stdout.splitlines()
    )
    for risk in portrange.classify(inside).risks:
        assert f"{risk.severity}: {risk.detail} [{risk.kind}]" in done.stdout


@NEEDS_SETTINGS
def test_check_names_the_owner_of_a_port_in_use_without_failing():
    number = portrange.suggest_port(f"portrange-check-{os.getpid()}")
    with socket.create_server(("127.0.0.1", number)) as listening:
        use_once(listening)
        done = run("check", "--strict", str(number))
        answer = json.loads(run("check", str(number), "--json").stdout)
    assert done.returncode == 0
    assert "no known risks; in use now by " in done.stdout
    assert f"(pid {os.getpid()})" in done.stdout
    assert answer[0]["listening"]["listeners"][0]["port"] == number
    assert run("check", "--strict", str(number)).stdout == f"{number:<5} ok    no known risks\n"


@NEEDS_SETTINGS
def test_suggested_port_passes_strict_check():
    number = run("suggest", "portrange-tests").stdout.strip()
    assert run("check", "--strict", number).returncode == 0


@NEEDS_SETTINGS
def test_check_target_replaces_the_default_targets():
    assert run("check", "12000").returncode == 0
    done = run("check", "12000", "--target", "linux", "--target", "freebsd")
    assert done.returncode == 1
    assert "FreeBSD (10000-65535): use 1024-9999" in done.stdout
    done = run("check", "12000", "--target", "plan9")
    assert done.returncode == 2
    assert "freebsd" in done.stderr


def test_check_reads_ports_from_standard_input():
    done = run_program("check", "5432", "-", input="8080 443\n\t4998\n")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["5432", "8080", "443", "4998"]


@pytest.mark.parametrize("command", ["check", "busy"])
@pytest.mark.parametrize(("given", "reason"), [("", "no port numbers"), ("80 htttp", "'htttp' is not a port")])
def test_invalid_standard_input_prints_one_line_and_exits_2(command, given, reason):
    done = run_program(command, "-", input=given)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert reason in done.stderr


COMPOSE = {
    "name": "project",
    "services": {
        "web": {"ports": [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}]},
        "db": {"ports": [{"mode": "ingress", "target": 5432, "published": "5432", "protocol": "tcp"}]},
    },
}


@NEEDS_SETTINGS
def test_check_from_reads_the_ports_of_compose(tmp_path):
    file = tmp_path / "compose.json"
    file.write_text(json.dumps(COMPOSE))
    done = run("check", "--from", str(file))
    assert done.returncode == 0
    first, second = done.stdout.splitlines()
    assert first.startswith("8080  ok    registered as http-alt; ")
    assert first.endswith("published by web")
    assert second.startswith("5432  ok    registered as postgresql; ")
    assert run_program("check", "--from", "-", input=json.dumps(COMPOSE)).stdout == done.stdout
    assert len(run("check", "--from", str(file), "4998").stdout.splitlines()) == 3


def test_check_from_fails_for_a_port_that_is_published_twice(tmp_path):
    file = tmp_path / "compose.json"
    services = {**COMPOSE["services"], "api": COMPOSE["services"]["web"]}
    file.write_text(json.dumps({"services": services}))
    done = run("check", "--from", str(file))
    assert done.returncode == 1
    assert done.stdout.startswith("8080  FAIL  tcp published twice on all addresses by web and api: ")
    [entry, _] = json.loads(run("check", "--from", str(file), "--json").stdout)
    assert (entry["passes"], entry["published_by"], len(entry["conflicts"])) == (False, ["web", "api"], 1)


def test_check_from_file_without_ports_passes(tmp_path):
    file = tmp_path / "compose.json"
    file.write_text('{"services": {"db": {"image": "postgres"}}}')
    done = run("check", "--from", str(file))
    assert (done.returncode, done.stdout) == (0, f"no published ports in {file}\n")


def test_check_from_several_files_compares_their_ports(tmp_path):
    files = [tmp_path / name for name in ("web.json", "none.json", "api.json")]
    for file, services in zip(files, (COMPOSE["services"], {}, {"api": COMPOSE["services"]["web"]}), strict=True):
        file.write_text(json.dumps({"services": services}))
    done = run("check", *(f"--from={file}" for file in files))
    assert done.returncode == 1
    assert done.stdout.startswith("8080  FAIL  tcp published twice on all addresses by web and api: ")
    done = run("check", f"--from={files[1]}", f"--from={files[1]}")
    assert (done.returncode, done.stdout) == (0, f"no published ports in {files[1]} and {files[1]}\n")


@NEEDS_SETTINGS
def test_check_from_escapes_control_characters_in_names():
    services = {"evil\x1b[2J\n\ud800": COMPOSE["services"]["web"]}
    done = run_program("check", "--from", "-", input=json.dumps({"services": services}))
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 1
    assert "\x1b" not in done.stdout
    done = run_program("check", "--from", "-", input=json.dumps({"services": {"a\x1b\n": {"ports": ["80"]}}}))
    assert done.returncode == 2
    assert done.stderr.rstrip("\n").isprintable()


@pytest.mark.parametrize("content", [None, "services:\n", "{}", '{"services": {"web": {"ports": ["80:80"]}}}'])
def test_check_from_other_file_prints_one_line_and_exits_2(tmp_path, content):
    file = tmp_path / "other.json"
    if content is not None:
        file.write_text(content)
    done = run("check", "--from", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert str(file) in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["65536"],
        ["-1"],
        ["80.0"],
        ["htttp"],
        ["rnage"],
        ["::1:80"],
        ["8010-8000"],
        ["80-"],
        ["80/icmp"],
        ["443", "range"],
        ["check", "80", "--accept", "luck"],
        ["0x50"],
        ["٨٠"],
        ["9" * 6000],
        ["80", "70000"],
        ["80", "--family", "ipv6"],
        ["--color", "blue"],
        ["busy"],
        ["busy", "0"],
        ["busy", "localhost:80"],
        ["show"],
        ["list", "x"],
        ["busy", "x"],
        ["busy", "80", "--address", "localhost"],
        ["busy", "80", "--protocol", "icmp"],
        ["check"],
        ["check", "80", "70000"],
        ["range", "80"],
        ["--protocol", "icmp"],
        ["--nonsense"],
        ["evil\x1b[2J"],
        [""],
    ],
)
def test_invalid_arguments_print_one_line_and_exit_2(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("portrange")
    assert done.stderr.rstrip("\n").isprintable()
    assert len(done.stderr) < 400


def test_unreadable_procfs_prints_one_line_and_exits_3(tmp_path):
    done = run("--procfs", str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path) in done.stderr


@pytest.mark.parametrize(
    ("arguments", "known"), [(["443"], "https"), (["suggest", "my-service"], str(portrange.suggest_port("my-service")))]
)
def test_unreadable_procfs_still_shows_known_facts(arguments, known, tmp_path):
    done = run(*arguments, "--procfs", str(tmp_path))
    assert done.returncode == 3
    assert known in done.stdout
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path) in done.stderr
    answer = json.loads(run(*arguments, "--procfs", str(tmp_path), "--json").stdout)
    assert (answer[0] if isinstance(answer, list) else answer)["listening"] is None


@pytest.mark.parametrize("path", ["", "no such directory"])
@pytest.mark.parametrize("command", ["range", "list"])
def test_procfs_that_is_no_directory_is_invalid_input(path: str, command: str):
    done = run(command, "--procfs", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"portrange {command}: --procfs: {path!r} is not a directory: where is procfs mounted?\n"


def test_standard_input_without_end_is_not_read_into_memory():
    with open("/dev/zero" if os.name == "posix" else os.devnull, "rb") as endless:
        done = run_program("check", "-", stdin=endless)
    assert (done.returncode, done.stdout) == (2, "")
    reason = "more than 1,048,576 bytes: is it a list of ports?" if os.name == "posix" else "no port numbers"
    assert reason in done.stderr


@pytest.mark.parametrize("command", ["show", "list"])
def test_address_of_another_machine_is_said_to_be_ignored(command: str):
    done = run(command, "192.0.2.1:9", "localhost:9", "[::1]:9")
    assert done.returncode == 0
    assert "192.0.2.1 is ignored: the output is about the ports of this machine" in done.stderr


def test_closed_pipe_exits_0():
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", portrange.__name__, "80"],
            check=False,
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(os.environ, PYTHONPATH=SOURCES),
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["80"], ["check", "80"], ["--help"], ["--version"]], ids=" ".join)
@pytest.mark.parametrize(("output", "reason"), [(">/dev/full", os.strerror(errno.ENOSPC)), (">&-", "is closed")])
@NEEDS_UNIX_SHELL
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_unwritable_stdout_prints_one_line_and_exits_3(arguments, output, reason):
    done = run_redirected(*arguments, to=output)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("portrange")
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr


@NEEDS_UNIX_SHELL
def test_closed_stderr_does_not_redirect_errors_to_stdout():
    done = run_redirected("65536", to="2>&-")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_sigint_exits_130_without_traceback(tmp_path):
    setting = tmp_path / "sys/kernel/osrelease"
    setting.parent.mkdir(parents=True)
    os.mkfifo(setting)
    started = subprocess.Popen(
        [sys.executable, "-m", portrange.__name__, "range", "--procfs", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ, PYTHONPATH=SOURCES),
    )
    with started:
        with setting.open("wb"):  # blocks until the command opens the FIFO for reading
            started.send_signal(signal.SIGINT)
        assert started.communicate(timeout=300) == (b"", b"")
    assert started.returncode == 130


def test_ascii_output_encoding_does_not_fail():
    done = run_program("80", environment={"PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_manual_and_short_help_name_the_json_option(command):
    manual, short = run(*command, "--help"), run(*command, "-h")
    assert (manual.returncode, short.returncode) == (0, 0)
    assert "--json" in manual.stdout
    assert "EXIT STATUS" in manual.stdout
    assert "--json" in short.stdout
    assert len(short.stdout.splitlines()) <= 23, "does not fit in a terminal of 24 lines"


def test_short_help_lists_every_command_in_one_line():
    lines = run("-h").stdout.splitlines()
    assert all(len(line) <= 80 for line in lines)
    for name in COMMANDS:
        assert [line for line in lines if line.startswith(f"  {name} ")]


def test_help_for_a_misspelt_command_names_the_command():
    done = run("help", "chekc")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("; did you mean the command check?\n")


@pytest.mark.parametrize("words", [["help"], ["help", "check"], ["check", "-h"], ["-h", "check"], ["443", "-h"]])
def test_help_is_found_by_any_order_of_words(words):
    expected = run("check", "-h") if "check" in words else run("-h")
    assert run(*words).stdout == expected.stdout


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (["list"], lambda answer: [answer, answer["listeners"][0]]),
        (["show", "{port}"], lambda answer: [*answer, answer[0]["port"], answer[0]["listening"]["listeners"][0]]),
        (["show", "{client}"], lambda answer: answer[0]["connected"]),
        (["range"], lambda answer: [answer]),
        (["usage"], lambda answer: [answer]),
        (["suggest", "a-name"], lambda answer: [answer]),
        (["check", "60860"], lambda answer: [*answer, answer[0]["listening"]]),
        (["busy", "{port}"], lambda answer: [*answer, answer[0]["obstacles"][0]]),
        (["wait", "--process", "{pid}"], lambda answer: [answer, *answer["listening"]["listeners"]]),
        (["answers", "{port}"], lambda answer: [answer, answer["answers"][0], answer["answers"][0]["listeners"][0]]),
    ],
)
def test_manual_lists_all_json_keys(server, command, parts):
    with socket.create_connection(("127.0.0.1", server)) as connection:
        client = connection.getsockname()[1]
        arguments = [argument.format(port=server, client=client, pid=os.getpid()) for argument in command]
        answer = json.loads(run(*arguments, "--json").stdout)
    section = run("--help").stdout.partition("\nJSON BY COMMAND\n")[2].partition("\nENVIRONMENT\n")[0]
    entries = {entry.split()[0]: entry for entry in re.findall(r"^    \w.*\n(?:     .*\n)*", section, re.MULTILINE)}
    described = entries[command[0]]
    if "as list prints it" in " ".join(described.split()):
        described += entries["list"]
    for part in parts(answer):
        assert set(part) <= set(re.findall(r"\w+", described))


def test_manual_has_the_sections_of_a_manual_page():
    headings = re.findall(r"^[A-Z ]+$", run("--help").stdout, re.MULTILINE)
    assert headings == [
        *("USAGE", "COMMANDS", "OPTIONS", "PORTS", "EXAMPLES", "EXIT STATUS"),
        *("JSON", "JSON BY COMMAND", "ENVIRONMENT"),
    ]
    headings = re.findall(r"^[A-Z ]+$", run("check", "--help").stdout, re.MULTILINE)
    assert headings == ["USAGE", "ARGUMENTS", "OPTIONS", "PORTS", "NOTES", "EXAMPLES", "EXIT STATUS", "SEE ALSO"]


def test_options_with_a_value_are_known_without_a_parser():
    arguments = [*COMMON, *(argument for name in COMMANDS for argument in load(name).arguments)]
    expected = {
        name for argument in arguments if argument.is_option and argument.takes_value for name in argument.names
    }
    assert expected == WITH_VALUE


@pytest.mark.parametrize("name", COMMANDS)
def test_command_line_without_options_is_read_as_argparse_reads_it(name):
    arguments = load(name).arguments
    positional = [argument for argument in arguments if not argument.is_option]
    given = ["443"] * len(positional)
    assert plain(arguments, given) == parse(f"portrange {name}", name, given, "")
    if len(positional) > 1:
        assert plain(arguments, given[:1]) == parse(f"portrange {name}", name, given[:1], "")
    assert plain(arguments, ["--json"]) is None


@pytest.mark.parametrize(
    ("typed", "targets"),
    [
        ("443", [Target(443, 443)]),
        ("00443", [Target(443, 443)]),
        ("https", [Target(443, 443)]),
        ("HTTPS", [Target(443, 443)]),
        (":8080", [Target(8080, 8080)]),
        ("*:80", [Target(80, 80)]),
        ("80/udp", [Target(80, 80, "udp")]),
        ("80/TCP", [Target(80, 80, "tcp")]),
        ("127.0.0.1:80", [Target(80, 80, None, "127.0.0.1")]),
        ("[::1]:80/tcp", [Target(80, 80, "tcp", "::1")]),
        ("[fe80::1%eth0]:80", [Target(80, 80, None, "fe80::1%eth0")]),
        ("localhost:80", [Target(80, 80, None, "localhost")]),
        ("localhost:http", [Target(80, 80, None, "localhost")]),
        ("http://localhost:8080/path?a:b", [Target(8080, 8080, None, "localhost")]),
        ("https://user@localhost", [Target(443, 443, None, "localhost")]),
        ("http://[::1]:8080", [Target(8080, 8080, None, "::1")]),
        ("8000-8010", [Target(8000, 8010)]),
        ("8000-8010/udp", [Target(8000, 8010, "udp")]),
        ("80,443", [Target(80, 80), Target(443, 443)]),
        ("80, 443 ", [Target(80, 80), Target(443, 443)]),
        ("tcp/80", [Target(80, 80, "tcp")]),
        ("udp:53", [Target(53, 53, "udp")]),
        ("x11", [Target(6000, 6063)]),
    ],
)
def test_ports_are_read_as_people_type_them(typed, targets):
    assert parse_target(typed) == targets


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rnage"], "did you mean the command range?"),
        (["443", "range"], "did you mean the command range?"),
        (["--nonsense"], "unknown option --nonsense"),
        (["--protcol", "tcp"], "unknown option --protcol; did you mean --protocol?"),
        (["check", "80", "--target=linux", "--strct"], "unknown option --strct; did you mean --strict?"),
        (["range", "80"], "unexpected argument '80'"),
        (["range", "udp"], "did you mean -p udp?"),
        (["443", "--udp"], "did you mean -p udp?"),
        (["443", "--process", "1"], "unknown option --process; portrange list has it"),
        (["busy", "80", "--strict"], "unknown option --strict; portrange check has it"),
        (["-help"], "did you mean --help?"),
        (["443", "-json"], "did you mean --json?"),
        (["--port", "80"], "ports are arguments"),
        (["x11"], "portrange 6000-6063 lists their listeners"),
        (["8080:80"], "has two ports"),
        (["127.0.0.1"], "as in 127.0.0.1:80"),
        (["kill", "80"], "portrange -h lists the commands"),
        (["::1:80"], "as in [::1]:80"),
        (["busy", "80", "--address", "localhost"], "use 127.0.0.1 or ::1"),
        (["busy", "localhost:80"], "use 127.0.0.1 or ::1"),
        (["busy", "0"], "from 1 to 65535"),
        (["busy", "80", "127.0.0.1:81", "--address", "::1"], "two addresses, 127.0.0.1 and ::1: name one of them"),
    ],
)
def test_message_about_invalid_arguments_names_the_remedy(arguments, message):
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_names_of_protocols_and_systems_are_accepted_in_any_case():
    assert run("range", "-p", "UDP").returncode == 0
    assert run("check", "8080", "--target", "FreeBSD").returncode == 0


def test_reason_without_an_endpoint_is_coloured_as_a_whole():
    line = run("busy", "9", "--address", "192.0.2.1", "--color", "always").stdout
    assert line.startswith("\x1b[31m192.0.2.1 is not an address of this machine, or not yet\x1b[0m; bind one")


def test_free_address_is_named(server):
    free = portrange.suggest_port(f"portrange-busy-{os.getpid()}")
    assert run("busy", f"127.0.0.1:{free}").stdout == f"tcp 127.0.0.1:{free} free (test bind succeeded)\n"


def test_several_ports_are_shown_in_the_order_of_the_arguments():
    pages = run("https", ":8080").stdout.split("\n\n")
    assert [page.partition("\n")[0].split()[:2] for page in pages] == [["Port", "443"], ["Port", "8080"]]
    answer = json.loads(run("8080", "443", "8080", "-j").stdout)
    assert [entry["port"]["number"] for entry in answer] == [8080, 443]


def test_range_of_ports_lists_its_listeners(server):
    bounds = f"{server}-{server + 1}" if server < 65535 else f"{server - 1}-{server}"
    listed = json.loads(run(bounds, "--json").stdout)["listeners"]
    assert server in [row["port"] for row in listed]
    assert len({row["port"] for row in listed}) <= 2
    assert json.loads(run("list", str(server), "-p", "udp", "-j").stdout)["listeners"] == []


def test_json_of_many_ports_has_an_entry_for_each():
    assert len(json.loads(run("x11", "--json").stdout)) == 64


def test_list_of_a_process_has_its_listeners_only(server):
    answer = json.loads(run("--process", str(os.getpid()), "--json").stdout)
    assert server in [row["port"] for row in answer["listeners"]]
    assert {row["pid"] for row in answer["listeners"]} == {os.getpid()}


@pytest.fixture
def child():
    """Yield a process that listens on a port of its own."""
    program = "import socket; made = socket.create_server(('127.0.0.1', 0)); made.getsockname(); input()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) as started:
        yield started
        started.communicate(b"\n")


def test_wait_prints_the_listeners_of_a_process(child):
    done = run("wait", "--process", str(child.pid))
    assert (done.returncode, done.stderr) == (0, "")
    _, row = done.stdout.splitlines()
    port = row.split()[1]
    answer = json.loads(run("wait", f":{port}", "--process", str(child.pid), "--timeout", "9", "--json").stdout)
    assert answer["reason"] is None
    assert [(found["port"], found["pid"]) for found in answer["listening"]["listeners"]] == [(int(port), child.pid)]


def test_wait_takes_the_protocol_from_the_port(child):
    done = run("wait", "9/udp", "--process", str(child.pid), "--timeout", "0")
    assert done.returncode == 1
    assert "does not listen on udp port 9 after 0 seconds" in done.stderr


def test_wait_for_a_process_that_does_not_listen_exits_1(server, child):
    done = run("wait", str(server), "--process", str(child.pid), "--timeout", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    other = run("wait", "9", "--process", str(child.pid), "--timeout", "0", "--json")
    assert (other.returncode, json.loads(other.stdout)["reason"], other.stderr) == (1, "timeout", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["wait"],
        ["wait", "80"],
        ["wait", "80", "--process", "x"],
        ["wait", "80", "--process", "0"],
        ["wait", "0", "--process", "1"],
        ["wait", "80-90", "--process", "1"],
        ["wait", "80", "--process", "1", "--timeout", "-1"],
        ["wait", "80", "--process", "1", "--timeout", "nan"],
        ["wait", "80", "--process", "1", "--timeout", "soon"],
        ["--process", "me"],
    ],
)
def test_invalid_arguments_of_wait_and_process_exit_2(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


def test_answers_prints_the_listener_that_an_address_reaches(server):
    done = run("answers", str(server), "127.0.0.1")
    assert (done.returncode, done.stderr) == (0, "")
    _, row = done.stdout.splitlines()
    assert row.split()[:2] == ["tcp", f"127.0.0.1:{server}"]
    assert f"({os.getpid()})" in row
    answer = json.loads(run("answers", f"http://127.0.0.1:{server}/path", "--json").stdout)
    assert [found["pid"] for each in answer["answers"] for found in each["listeners"]] == [os.getpid()]
    assert answer["contested"] is False


def test_answers_of_an_address_without_listener_exits_1(server):
    for arguments in (["127.0.0.1", "-p", "udp"], ["127.0.0.2"]):
        done = run("answers", str(server), *arguments)
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.splitlines()[1].endswith("no listener")
    refused = run("answers", str(server), "127.0.0.2", "--json")
    assert (refused.returncode, json.loads(refused.stdout)["answers"][0]["listeners"]) == (1, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: PORT"),
        (["80", "192.0.2.1"], "not an address of this machine"),
        (["192.0.2.1:80"], "not an address of this machine"),
        (["80", "no-such-name.invalid"], "cannot resolve"),
        (["80", "fe80::1"], "needs its interface"),
        (["127.0.0.1:80", "::1"], "two addresses"),
        (["80", "81"], "two ports, 80 and 81: name one of them"),
        (["80-90"], "several ports"),
        (["0"], "from 1 to 65535"),
        (["65536"], "from 0 to 65535"),
        (["80/sctp"], "unknown protocol 'sctp'"),
        (["80", "-p", "sctp"], "sctp"),
        (["80", "127.0.0.1", "127.0.0.2"], "127.0.0.2"),
    ],
)
def test_invalid_arguments_of_answers_exit_2(arguments, message):
    done = run("answers", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_suggest_with_no_port_left_exits_2():
    done = run("suggest", "x", "--avoid", "1024-65535")
    assert (done.returncode, done.stdout) == (2, "")
    assert "avoid fewer ports" in done.stderr


def test_port_page_shows_a_shared_command_line_once():
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        use_once(tcp)
        use_once(udp)
        page = run(str(port)).stdout
    assert page.count("p  127.0.0.1  ") == 2
    assert page.count(f"  {os.getpid()}:") == 1  # a long path of the interpreter is in the next line


@pytest.mark.parametrize("option", ["--protocol", "--procfs"])
def test_option_value_is_not_taken_for_a_command(option):
    done = run(option, "range")
    assert done.returncode in (2, 3)
    assert done.stderr.startswith("portrange: ")


def test_version():
    assert run("--version").stdout == f"portrange {portrange.__version__}\n"


def test_suggest_prints_the_port_and_reports_a_current_listener():
    name = f"portrange-tests-{os.getpid()}"  # Parallel test runs must not share the port.
    number = portrange.suggest_port(name)
    done = run("suggest", name)
    assert (done.stdout, done.stderr) == (f"{number}\n", "")
    with socket.create_server(("127.0.0.1", number)) as listening:
        use_once(listening)
        done = run("suggest", name)
        assert (done.returncode, done.stdout) == (0, f"{number}\n")
        assert re.fullmatch(rf"portrange suggest: {number} is in use now by .* \(pid {os.getpid()}\)\n", done.stderr)
        answer = json.loads(run("suggest", name, "--json").stdout)
    assert (answer["name"], answer["port"], len(answer["listening"]["listeners"])) == (name, number, 1)


def test_suggest_honours_avoid():
    number = portrange.suggest_port("portrange-tests")
    options = ["--avoid", str(number), "--avoid", f"{number - 1}-{number + 1}", "--avoid", "freebsd"]
    other = json.loads(run("suggest", *options, "portrange-tests", "--json").stdout)["port"]
    assert other == portrange.suggest_port("portrange-tests", avoid=[(number - 1, number + 1), "freebsd"])
    assert abs(other - number) > 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["suggest"],
        ["suggest", ""],
        ["suggest", "x", "--avoid", "plan9"],
        ["suggest", "x", "--avoid", "9-1"],
        ["usage", "1"],
    ],
)
def test_invalid_suggest_and_usage_arguments_print_one_line_and_exit_2(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(IS_WINE, reason="Wine uses the ephemeral range of Linux and does not report it")
def test_usage_lists_the_fullest_destination(server):
    # Only the fullest destinations are listed, and other tests leave connections in TIME-WAIT.
    with ExitStack() as connections:
        for _ in range(100):
            connections.enter_context(socket.create_connection(("127.0.0.1", server)))
        done = run("usage")
        answer = json.loads(run("usage", "--json").stdout)
    assert done.returncode == 0
    assert f"127.0.0.1:{server}" in done.stdout
    assert ("127.0.0.1", server) in [(row["address"], row["port"]) for row in answer["destinations"]]


def test_port_page_accepts_exhaustive_and_protocol(server):
    assert f" {os.getpid()} " in run(str(server), "--exhaustive").stdout
    assert "Listening    nothing" in run(str(server), "--protocol", "udp").stdout
