from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).with_name("bench_cold.py")


@pytest.mark.skipif(not hasattr(__import__("os"), "wait4"), reason="this system has no wait4()")
def test_cold_benchmark_writes_each_ratio_into_the_document(tmp_path: Path):
    document = tmp_path / "benchmarks.md"
    document.write_text("before\n<!-- bench_cold: begin -->\nreplaced\n<!-- bench_cold: end -->\nafter\n", "utf-8")
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), "--rounds", "1", "--update", str(document)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: a ratio was over its limit, which a busy machine may cause
    written = document.read_text("utf-8")
    assert "replaced" not in written
    figures = re.findall(r"^\| (.+?) \| (-?[\d.]+) (x|ms) \|", written, re.MULTILINE)
    assert len(figures) == 13 + sum(shutil.which(tool) is not None for tool in ("ss", "lsof"))
