"""Shell completion and the manual page: the files are current, and real shells and man read them."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import portrange
from portrange._cli.output import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
SHARE = ROOT / "share"
BASH = SHARE / "bash-completion/completions/portrange"
ZSH = SHARE / "zsh/site-functions/_portrange"
FISH = SHARE / "fish/vendor_completions.d/portrange.fish"
PAGE = SHARE / "man/man1/portrange.1"

#: A copy of the package elsewhere (tests/vendoring) has another name, and no files beside it.
pytestmark = pytest.mark.skipif(
    portrange.__name__ != "portrange" or not SHARE.is_dir(), reason="share/ belongs to the repository"
)


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"the program {program!r} is not on the PATH")


def output_of(*arguments: str, **environment: str) -> str:
    done = subprocess.run(
        arguments, check=True, capture_output=True, text=True, timeout=300, env={**os.environ, **environment}
    )
    assert done.stderr == ""
    return done.stdout


def test_files_are_current():
    pytest.importorskip("shtab", reason="shtab is not installed: pip install '.[test]'")
    sys.path.insert(0, str(Path(__file__).parent))
    try:
        import generate
    finally:
        sys.path.pop(0)
    for path, content in generate.files().items():
        assert (SHARE / path).read_text(encoding="utf-8") == content, "run python tests/share/generate.py"


def bash_completions(line: str) -> list[str]:
    """Return what bash offers for the last word of a line."""
    words = line.split(" ")
    script = f"""
        source {shlex.quote(str(BASH))}
        COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1}
        COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
        function=$(complete -p portrange | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
        "$function" portrange {shlex.quote(words[-1])} {shlex.quote(words[-2])}
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    return output_of("bash", "--norc", "-c", script).split()


@needs("bash")
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("portrange ", {*COMMANDS}),
        ("portrange ch", {"check"}),
        ("portrange --js", {"--json"}),
        ("portrange check --st", {"--strict"}),
        ("portrange busy --protocol ", {"tcp", "udp", "sctp", "dccp"}),
        ("portrange usage -p ", {"tcp", "udp"}),
        ("portrange range --family ipv", {"ipv4", "ipv6"}),
        ("portrange --color al", {"always"}),
    ],
)
def test_bash_completes_commands_options_and_values(line, offered):
    assert set(bash_completions(line)) == offered


@needs("zsh")
def test_zsh_reads_the_completion():
    output_of("zsh", "--no-rcs", "-n", str(ZSH))
    script = (
        f"fpath=({shlex.quote(str(ZSH.parent))} $fpath); autoload -U compinit; compinit -u -D; print $_comps[portrange]"
    )
    assert output_of("zsh", "--no-rcs", "-c", script) == "_portrange\n"


@needs("fish")
@pytest.mark.parametrize(("line", "offered"), [("portrange ch", {"check"}), ("portrange check --st", {"--strict"})])
def test_fish_completes_commands_and_options(line, offered, tmp_path):
    script = f"source {shlex.quote(str(FISH))}; complete --do-complete {shlex.quote(line)}"
    shown = output_of("fish", "--no-config", "-c", script, HOME=str(tmp_path))
    assert {row.partition("\t")[0] for row in shown.splitlines()} == offered


@needs("man")
def test_man_renders_the_manual_page_without_warnings():
    shown = output_of(
        "man", "--warnings", "-l", str(PAGE), MANWIDTH="80", MANPAGER="cat", MAN_KEEP_FORMATTING="", LC_ALL="C.UTF-8"
    )
    assert max(map(len, shown.splitlines())) <= 80
    for heading in ("NAME", "SYNOPSIS", "COMMANDS", "OPTIONS", "EXAMPLES", "EXIT STATUS", "JSON", "ENVIRONMENT"):
        assert f"\n{heading}\n" in shown
    for name in COMMANDS:
        assert f"\n   portrange {name}\n" in shown
    assert "portrange - inspect port numbers on this machine" in shown
    assert "-p, --protocol NAME" in shown
