"""What other tools say of a listening socket instead of the truth, and why: each difference by a rule, or by none.

A rule turns what is true into what its tool says. Some of the rules of a tool, one after the other, must give exactly
what it said: neither a row more nor less. docs/trust.md explains them to users.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain, combinations

from trust.witnesses import Row

Rows = list[Row]


@dataclass(frozen=True)
class Rule:
    """A difference between a tool and the truth. `about` is the heading it has in docs/trust.md."""

    tool: str
    about: str
    says: Callable[[Rows], Rows]


def _each(change: Callable[[Row], Row]) -> Callable[[Rows], Rows]:
    return lambda rows: [change(row) for row in rows]


def _name_cut(row: Row) -> Row:
    """Both read the name up to the first closing parenthesis of /proc/PID/stat or its like."""
    return row._replace(names=tuple(name.partition(")")[0] for name in row.names or ()))


def _unbalanced_skipped(rows: Rows) -> Rows:
    """Where a name opens more parentheses than it closes, its process is not looked into (lsof-org/lsof#359)."""
    changed = []
    for row in rows:
        named = dict(zip(row.pids, row.names or (), strict=True))
        kept = {pid: name for pid, name in named.items() if name.count("(") <= name.count(")")}
        changed.append(row._replace(pids=tuple(kept), names=tuple(kept.values())))
    return changed


def _held_only(rows: Rows) -> Rows:
    """It lists the files of processes: what no visible process has is none of them."""
    return [row for row in rows if row.pids]


def _last_holder(row: Row) -> Row:
    """A dictionary from inodes to lists of holders is updated process by process: the last list stays."""
    return row._replace(pids=row.pids[-1:])


def _alike_merged(rows: Rows) -> Rows:
    """Rows are put into a set; without a holder, two sockets of one address differ by nothing that it shows."""
    return [row for row in rows if row.pids] + sorted({row for row in rows if not row.pids})


def _mapped_wildcard(row: Row) -> Row:
    """``::ffff:0.0.0.0`` takes IPv4 alone, and is shown as the wildcard of IPv6."""
    if row.family == "ipv4-mapped" and row.address == "0.0.0.0":
        return row._replace(family="ipv6", address="::")
    return row


RULES = (
    Rule("ss", "ss cuts a name at its first closing parenthesis", _each(_name_cut)),
    Rule("lsof", "lsof cuts a name at its first closing parenthesis", _each(_name_cut)),
    Rule("lsof", "lsof leaves out a process whose name opens a parenthesis", _unbalanced_skipped),
    Rule("lsof", "lsof leaves out what no visible process holds", _held_only),
    Rule("lsof", "lsof shows ::ffff:0.0.0.0 as the wildcard of IPv6", _each(_mapped_wildcard)),
    Rule("psutil", "psutil names one holder of a shared socket", _each(_last_holder)),
    Rule("psutil", "psutil merges sockets of one address that nobody visible holds", _alike_merged),
)

#: What each tool does not tell at all, by the name of the column.
SILENT = {
    "ss": (),
    "lsof": ("dual_stack", "interface"),
    "psutil": ("dual_stack", "interface", "names"),
}


def judge(tool: str, truth: Rows, said: Rows) -> tuple[Counter[str], list[str]]:
    """The fewest rules that explain what was said, by how many rows each changed; or else what none explains.

    A later version of a tool may need fewer of them than today's.
    """
    nothing = dict.fromkeys(SILENT[tool])
    bare = [row._replace(**nothing) for row in truth]
    rules = [rule for rule in RULES if rule.tool == tool]
    fewest_first = chain.from_iterable(combinations(rules, number) for number in range(len(rules) + 1))
    unexplained: list[str] = []
    for chosen in fewest_first:
        needed, expected = _follow(chosen, bare)
        unexplained = difference(tool, expected, said)
        if not unexplained:
            return needed, []
    return Counter(), unexplained


def _follow(rules: tuple[Rule, ...], rows: Rows) -> tuple[Counter[str], Rows]:
    changed: Counter[str] = Counter()
    for rule in rules:
        before, rows = rows, rule.says(rows)
        changed[rule.about] = (Counter(before) - Counter(rows)).total()
    return +changed, [row._replace(family="ipv4") if row.family == "ipv4-mapped" else row for row in rows]


def difference(who: str, truth: Rows, said: Rows) -> list[str]:
    wanted, found = Counter(truth), Counter(said)
    return [
        *(f"{who} does not say: {row}" for row in (wanted - found).elements()),
        *(f"{who} says: {row}" for row in (found - wanted).elements()),
    ]
