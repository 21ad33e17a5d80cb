"""The benchmarks are scripts that import one another: pytest collects their tests only."""

from __future__ import annotations

import os

collect_ignore = [
    name
    for name in os.listdir(os.path.dirname(__file__))
    if name.endswith(".py") and name != "conftest.py" and not name.startswith("test_")
]
