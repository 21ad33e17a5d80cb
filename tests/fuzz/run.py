"""Fuzz every parser, guided by coverage, for a total of so many seconds of processor time.

    python tests/fuzz/run.py --seconds 600               # discard new inputs, except those that break a parser
    python tests/fuzz/run.py --seconds 600 --keep        # keep a minimal set of the inputs that reach more code
    python tests/fuzz/run.py --seconds 60 mountinfo      # fuzz these parsers only

Needs atheris (pip install --group trust): libFuzzer with the branch coverage of this package. Inputs that break a
parser are kept under tests/fuzz/corpus, which the test suite replays, and make the exit status 1.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]
CORPUS = TESTS / "fuzz" / "corpus"
#: An input that takes more seconds or megabytes than these is a defect.
_SLOW, _LARGE = 10, 2048
#: Prefixes of the file names of inputs that broke a parser.
BROKE = ("crash-", "timeout-", "oom-")
_COVERAGE = re.compile(r"cov: (\d+)")
_KNOWN = re.compile(r"INITED cov: (\d+)")
_EXECUTIONS = re.compile(r"stat::number_of_executed_units: +(\d+)")


class Outcome(NamedTuple):
    """Result for one parser: executions, branches reached by known and by all inputs, kept inputs, success, log."""

    executions: int
    known: int
    reached: int
    inputs: int
    held: bool
    log: str


def fuzz(name: str, seconds: int, *, keep: bool) -> Outcome:
    """Fuzz one parser in a separate process."""
    saved = CORPUS / name
    saved.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        seeds, found, merged = (Path(directory) / part for part in ("seeds", "found", "merged"))
        for folder in (seeds, found, merged):
            folder.mkdir()
        log, held = _child(name, saved, f"-max_total_time={seconds}", found, _with_seeds(name, seeds), saved)
        if keep:
            _, is_merged = _child(name, Path(directory), "-merge=1", "-set_cover_merge=1", merged, saved, found)
            if is_merged:  # without atheris, for one, nothing is: the corpus remains as it is
                _replace(saved, merged)
        inputs = sum(1 for _ in saved.iterdir())
    if not inputs:
        saved.rmdir()
    executions, known = _EXECUTIONS.search(log), _KNOWN.search(log)
    return Outcome(
        int(executions[1]) if executions else 0,
        int(known[1]) if known else 0,
        max(map(int, _COVERAGE.findall(log)), default=0),
        inputs,
        held,
        log,
    )


def _with_seeds(name: str, directory: Path) -> Path:
    from fuzz.harnesses import HARNESSES

    for number, seed in enumerate(HARNESSES[name].seeds):
        (directory / f"seed-{number}").write_bytes(seed)
    return directory


def _child(name: str, artifacts: Path, *arguments: str | Path) -> tuple[str, bool]:
    """Run libFuzzer; return its output and True if nothing broke. Inputs that break a parser go to *artifacts*."""
    options = (f"-artifact_prefix={artifacts}/", f"-timeout={_SLOW}", f"-rss_limit_mb={_LARGE}", "-print_final_stats=1")
    command = [sys.executable, __file__, "--inside", name, *options, *map(str, arguments)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode("utf-8", "backslashreplace"), done.returncode == 0


def _replace(saved: Path, merged: Path) -> None:
    """Keep the inputs of the merged set, and all inputs that ever broke the parser."""
    for path in saved.iterdir():
        if not path.name.startswith(BROKE) and not (merged / path.name).exists():
            path.unlink()
    for path in merged.iterdir():
        if not path.name.startswith(BROKE):
            shutil.copy(path, saved / path.name)


def inside(name: str, arguments: list[str]) -> None:
    """Fuzz one parser in this process."""
    import atheris

    atheris.enabled_hooks.add("str")
    with atheris.instrument_imports(include=["portrange", "registry"]):
        from fuzz.harnesses import run
    # To merge inputs, libFuzzer restarts itself through a shell.
    itself = shlex.join([sys.executable, __file__, "--inside", name])
    atheris.Setup([itself, *arguments], lambda data: run(name, data))
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--inside"]:
        inside(arguments[1], arguments[2:])
        return 0
    from fuzz.harnesses import HARNESSES

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="total for all parsers (default: 60)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count(), help="parsers in parallel (default: one per processor)"
    )
    parser.add_argument("--keep", action="store_true", help="keep a minimised set of inputs")
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *HARNESSES], help=", ".join(HARNESSES))
    parsed = parser.parse_args(arguments)
    names = parsed.names or list(HARNESSES)
    each = max(1, parsed.seconds // len(names))
    print(f"{'parser':<22} {'executions':>12} {'branches':>9} {'new':>5} {'kept':>5}")
    executions, broken = 0, False
    with ThreadPoolExecutor(parsed.jobs) as pool:
        outcomes = pool.map(lambda name: fuzz(name, each, keep=parsed.keep), names)
        for name, found in zip(names, outcomes, strict=True):
            executions += found.executions
            row = (found.executions, found.reached, found.reached - found.known, found.inputs)
            print(f"{name:<22} {row[0]:>12,} {row[1]:>9,} {row[2]:>5,} {row[3]:>5,}", flush=True)
            if not (found.held and found.executions):
                broken = True
                print(f"    broken by a file in {CORPUS / name}:", found.log[-4000:], sep="\n", flush=True)
    print(f"{len(names)} parsers, {each} s each: {executions:,} executions; {'broken' if broken else 'nothing broke'}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    sys.exit(main(sys.argv[1:]))
