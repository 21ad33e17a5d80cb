"""Every code block of the documentation is run here, or elsewhere for a reason given below."""

from __future__ import annotations

import inspect
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from docs.pages import Block, blocks

import portrange
from portrange._backends.select import EXPERIMENTAL

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
IN_A_NEW_NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
PAGES = sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)
#: Kinds of blocks that are run here. `sh` blocks must appear in CI (see below).
RUN_HERE = {"pycon", "console"}
#: The first line of each other block, with the file that runs its commands or checks its text.
RUN_BY_OTHERS = {
    "benchmarks.md": {
        "python tests/benchmarks/bench_listen.py": "tests/benchmarks/test_benchmarks_run.py",
        "python tests/benchmarks/busy_host.py": "tests/benchmarks/test_benchmarks_run.py",
        "python tests/benchmarks/bench_queries.py": "tests/benchmarks/test_bench_queries_run.py",
        "python tests/benchmarks/bench_usage.py": "tests/benchmarks/test_bench_usage_run.py",
        "python tests/benchmarks/bench_classify.py": "tests/benchmarks/test_bench_classify_run.py",
        "python tests/benchmarks/bench_cold.py": "tests/benchmarks/test_bench_cold_run.py",
    },
    "fuzzing.md": {
        ".venv/bin/python -m pytest --cov=portrange --cov-branch": ".ci/run",
        # It takes most of an hour and runs before a release.
        ".venv/bin/python tests/mutation/run.py": "tests/mutation/run.py",
    },
    # No test has Docker or Kubernetes. Their output is that of the documented formats.
    "howto/fixed-ports.md": {
        "docker compose config --format json": "tests/test_manifests.py",
        "repos:": "tests/vendoring/test_pre_commit.py",
    },
    "howto/fleet.md": {"HOST            PROTOCOL": "tests/fleet/test_fleet.py"},
    "installation.md": {
        "python3 -m venv .venv": "tests/packaging/test_documented_commands.py",
        ".venv/bin/pip uninstall": "tests/packaging/test_documented_commands.py",
    },
    "security.md": {"import os": "tests/trust/test_security_page.py"},
    "vendoring.md": {
        "from acme._vendor import portrange": "tests/vendoring/test_other_ways.py",
        "pip wheel": "tests/vendoring/test_other_ways.py",
        "mkdir tree": "tests/packaging/test_documented_commands.py",
        "shiv --console-script": "tests/packaging/test_documented_commands.py",
        "echo 'from portrange": "tests/packaging/test_documented_commands.py",
    },
}
#: Files that must contain the commands for developers, so that they are run on every change.
RUN_BY_CI = [ROOT / ".ci" / "run", ROOT / "README.md", ROOT / "pyproject.toml"]
#: Programs that take minutes or change files, and their tests; CI runs `.ci/run` itself.
RUN_BY_TESTS = {
    "bash .ci/run": ".ci/run",
    "python tests/registry/generate.py": "tests/registry/test_generate.py",
    "python tests/benchmarks/bench_listen.py": "tests/benchmarks/test_benchmarks_run.py",
}


def name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def all_blocks(*kinds: str) -> list[tuple[Path, Block]]:
    return [(page, block) for page in PAGES for block in blocks(page) if block.kind in kinds]


@pytest.mark.parametrize(
    "page", [page for page in PAGES if {block.kind for block in blocks(page)} & RUN_HERE], ids=name
)
def test_blocks_of_a_page_produce_the_output_shown(page, namespaces, tmp_path):
    """A new network namespace has the kernel's default settings and only the listeners of the page."""
    commands = tmp_path / "bin"
    commands.mkdir()
    # Scripts, not links: site finds a virtual environment by the directory of its interpreter.
    for command, run in (("python", sys.executable), ("portrange", f"{sys.executable} -m portrange")):
        script = commands / command
        script.write_text(f'#!/bin/sh\nexec {run} "$@"\n')
        script.chmod(0o755)
    # The PATH of an ordinary user lacks the folder of sysctl, which runs as root here.
    path = f"{commands}:{os.environ['PATH']}:/usr/sbin:/sbin"
    environment = dict(os.environ, PATH=path, PYTHONPATH=str(ROOT), COLUMNS="80")
    environment["PYTEST_ADDOPTS"] = ""  # readers run pytest with its defaults
    done = subprocess.run(
        [*IN_A_NEW_NETWORK, sys.executable, str(Path(__file__).with_name("pages.py")), str(page)],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=shutil.copytree(DOCS / "howto", tmp_path / "howto"),
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_block_is_run_by_a_test():
    unseen = {(page, first) for page, lines in RUN_BY_OTHERS.items() for first in lines}
    for page in PAGES:
        for block in blocks(page):
            if block.kind not in RUN_HERE | {"sh"} and not block.kind.startswith("{"):
                listed = [first for first in RUN_BY_OTHERS.get(name(page), ()) if block.text.startswith(first)]
                assert len(listed) == 1, f"{name(page)}, line {block.line}: no test runs {block.text.splitlines()[0]}"
                unseen -= {(name(page), listed[0])}
    assert unseen == set()


def test_blocks_run_by_others_have_tests_there():
    for lines in RUN_BY_OTHERS.values():
        for first, path in lines.items():
            assert (ROOT / path).exists(), first


def test_commands_within_sentences_and_tables_name_existing_files():
    found = 0
    for page in PAGES:
        for command in re.findall(r"`([^`\n]*)`", page.read_text(encoding="utf-8")):
            for path in re.findall(
                r"(?:^|(?<=[ \"']))(?:tests|docs|portrange|share|\.ci|\.github)/[\w/.-]*\w", command
            ):
                found += 1
                example = re.search(r"[A-Z]{4}", path)  # such as NAME
                assert example or any(ROOT.glob(f"{path}*")), f"{name(page)} mentions {path}"
    assert found > 40


def test_commands_for_developers_are_run_by_ci():
    run_by_ci = "\n".join(path.read_text(encoding="utf-8") for path in RUN_BY_CI)
    commands = [command for _, block in all_blocks("sh") for command in block.text.splitlines()]
    assert len(commands) > 5
    for command in commands:
        if command in RUN_BY_TESTS:
            assert (ROOT / RUN_BY_TESTS[command]).exists(), command
        else:
            assert command.removeprefix(".venv/bin/").removeprefix("python ") in run_by_ci, f"CI does not run {command}"


#: What stands for the placeholders of commands within sentences and tables.
PLACEHOLDERS = {
    "ADDRESS": "127.0.0.1",
    "COMMAND": "check",
    "NAME": "my-service",
    "PID": str(os.getpid()),
    "812": str(os.getpid()),
    "PORT": "8080",
}


def test_commands_within_sentences_and_tables_are_valid():
    pages = [ROOT / "README.md", *(page for page in PAGES if name(page) != "changelog.md")]
    found = {
        command
        for page in pages
        for command in re.findall(r"(?<!`)`portrange( [^`\n]+)`", page.read_text(encoding="utf-8"))
    }
    assert len(found) > 25
    for command in sorted(found):
        words = [PLACEHOLDERS.get(word.strip("[]…"), word.strip("[]…")) for word in command.split()]
        words += ["--timeout", "0"] if words[0] == "wait" else []
        words += ["8080"] if words[0] in ("check", "show") and not re.search(r"[0-9]|-h", command) else []
        done = subprocess.run(
            [sys.executable, "-m", "portrange", *words],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            cwd=ROOT,
        )
        assert done.returncode in (0, 1), f"portrange{command}: {done.stderr}"


def test_every_example_file_is_shown_on_a_page_and_run_by_a_test():
    shown = " ".join(block.kind for page in PAGES for block in blocks(page))
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    examples = list((DOCS / "howto").glob("*.py"))
    assert len(examples) >= 5
    for example in examples:
        assert f"{{literalinclude}} {example.name}" in shown
        assert f'"{example.name}"' in tests


# --- navigation ----------------------------------------------------------------------------------------------------


def links(page: Path) -> set[Path]:
    """Return the pages and files to which the plain Markdown of a page links."""
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    return {(page.parent / target).resolve() for target in targets if "://" not in target}


def test_link_targets_exist():
    for page in PAGES:
        for target in links(page):
            assert target.exists(), f"{name(page)} links to {target}"


def test_issue_numbers_of_other_projects_are_links():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        plain = re.findall(r"(?<![\[/\w.-])[\w.-]+/[\w.-]+#\d+", text)
        assert plain == [], f"{name(page)} mentions {plain} without a link"


def test_every_page_is_two_clicks_from_the_readme():
    index = DOCS / "index.md"
    assert index in links(ROOT / "README.md"), "README.md does not link docs/index.md"
    assert set(PAGES) - {index} <= links(index)


def test_every_public_name_is_in_the_reference():
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\.\. (?:auto\w+:: portrange\.|py:data:: )(\w+)", text, re.MULTILINE))
    assert documented == set(portrange.__all__) - {"__version__"} | {"testing"}


def test_every_parameter_of_a_function_has_a_description():
    functions = [getattr(portrange, name) for name in portrange.__all__ if inspect.isfunction(getattr(portrange, name))]
    assert len(functions) > 10
    for function in functions:
        described = re.findall(r"^:param (\w+): ", inspect.getdoc(function) or "", re.MULTILINE)
        assert described == list(inspect.signature(function).parameters), function.__name__


def test_sidebar_and_index_have_the_same_sections_and_pages():
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\*\*(.+)\*\*\n\n((?:- .*\n)+)", text, re.MULTILINE)
    sidebar = re.findall(r":caption: (.+)\n\n((?:\S+\n)+)```", text)
    assert len(sidebar) == 5
    assert [(title, re.findall(r"\]\((\S+?)\.\w+\)", pages)) for title, pages in listed] == [
        (title, pages.split()) for title, pages in sidebar
    ]


def test_changelog_has_this_version():
    assert f"## [{portrange.__version__}]" in (DOCS / "changelog.md").read_text(encoding="utf-8")


def test_documentation_marks_experimental_platforms():
    page = (DOCS / "platforms.md").read_text(encoding="utf-8")
    marked = [section.partition("\n")[0] for section in page.split("\n### ")[1:] if "\nExperimental: " in section]
    titles = ["macOS and iOS", "FreeBSD", "OpenBSD", "NetBSD", "DragonFly", "Solaris and illumos", "AIX"]
    assert marked == titles
    assert len(EXPERIMENTAL) == len(titles) + 1  # macOS and iOS share a section
