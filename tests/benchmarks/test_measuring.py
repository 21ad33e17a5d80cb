from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _scripts(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))


def test_race_fails_if_a_result_is_wrong():
    from measuring import Race, WrongAnswerError

    race = Race({1})
    race.enter("portrange", lambda: (1.0, {1}))
    race.enter("ss", lambda: (1.0, {2}))
    with pytest.raises(WrongAnswerError, match=r"^ss answered \{2\}, expected \{1\}$"):
        race.run(1)


def test_contenders_of_a_row_have_the_order_of_entry():
    from measuring import Race

    race = Race(0)
    for name in ("portrange", "ss", "lsof", "psutil", "C floor"):
        race.enter(name, lambda: (1.0, 0))
    race.run(3)
    assert list(race.row("query").medians) == ["portrange", "ss", "lsof", "psutil", "C floor"]


def test_row_of_hosts_has_the_samples_of_each_visit():
    from measuring import Race, row_of_hosts
    from report import Target

    @contextmanager
    def host(seconds):
        race = Race(0)
        race.enter("portrange", lambda: (seconds, 0))
        yield race

    hosts = [("smaller", host(1.0)), ("portrange", host(2.0)), ("smaller", host(3.0)), ("portrange", host(4.0))]
    row = row_of_hosts("query", hosts, 2, Target("smaller", 1.5, faster=False))
    assert row.samples == {"smaller": [1.0, 1.0, 3.0, 3.0], "portrange": [2.0, 2.0, 4.0, 4.0]}
    assert row.outcome() == "yes: 1.50× smaller"


def test_cell_of_a_tool_has_the_ratio_although_its_target_is_an_upper_limit():
    from report import Report, Row, Target

    row = Row("query", {"portrange": 0.2, "ss": 0.1, "C floor": 0.1}, (Target("ss", 2.5, faster=False),))
    report = Report([row], {"portrange": "1", "ss": "2"}, [])
    assert report.cells()[1] == ["query", "200 ms", "100 ms (0.50×)", "100 ms", "≤ 2.5× ss", "yes: 2.00× ss"]
