from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_SCRIPT = Path(__file__).with_name("bench_queries.py")


def test_each_query_is_measured_and_has_the_result_of_psutil():
    done = subprocess.run([sys.executable, str(_SCRIPT)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for query in ("listeners(process=)", "who_uses()", "who_uses(remote=)", "who_answers()", "wait_for_listener()"):
        assert f"\n{query}" in done.stdout
