from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

_SCRIPT = Path(__file__).with_name("bench_classify.py")


def test_every_figure_is_measured_and_written_to_the_document(tmp_path: Path):
    document = tmp_path / "benchmarks.md"
    document.write_text("before\n<!-- bench_classify: begin -->\nold\n<!-- bench_classify: end -->\nafter\n", "utf-8")
    done = subprocess.run(
        [sys.executable, str(_SCRIPT), "--update", str(document)], check=False, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr  # 1: a figure exceeds its limit, which a busy machine may cause
    written = document.read_text("utf-8")
    assert written.startswith("before\n")
    assert written.endswith("after\n")
    assert "old" not in written
    figures = re.findall(r"^\| (.+?) \| ([\d.]+) (us|s|ms|kB|MB) \|", written, re.MULTILINE)
    assert len(figures) == 8
    assert all(float(value) > 0 for _, value, _ in figures)
