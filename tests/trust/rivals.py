"""Rules that explain how the output of other tools differs from the true listening sockets.

A rule converts the true rows to the rows of its tool. A subset of the rules of a tool, applied in order, must give
exactly the rows that the tool reported. docs/trust.md explains the rules to users.
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
    """A difference between the output of a tool and the truth. `about` is its row title in docs/trust.md."""

    tool: str
    about: str
    apply: Callable[[Rows], Rows]


def _each(change: Callable[[Row], Row]) -> Callable[[Rows], Rows]:
    return lambda rows: [change(row) for row in rows]


def _name_cut(row: Row) -> Row:
    """The tool reads the name up to the first closing parenthesis of /proc/PID/stat or its equivalent."""
    return row._replace(names=tuple(name.partition(")")[0] for name in row.names or ()))


def _unbalanced_skipped(rows: Rows) -> Rows:
    """The tool skips processes whose name opens more parentheses than it closes (lsof-org/lsof#359)."""
    changed = []
    for row in rows:
        named = dict(zip(row.pids, row.names or (), strict=True))
        kept = {pid: name for pid, name in named.items() if name.count("(") <= name.count(")")}
        changed.append(row._replace(pids=tuple(kept), names=tuple(kept.values())))
    return changed


def _owned_only(rows: Rows) -> Rows:
    """The tool lists files of processes, so sockets without a visible process are missing."""
    return [row for row in rows if row.pids]


def _last_owner(row: Row) -> Row:
    """The tool updates a dictionary from inodes to owners process by process, so the last owner remains."""
    return row._replace(pids=row.pids[-1:])


def _alike_merged(rows: Rows) -> Rows:
    """The tool collects rows in a set, where sockets without an owner are equal if their addresses are."""
    return [row for row in rows if row.pids] + sorted({row for row in rows if not row.pids})


def _mapped_wildcard(row: Row) -> Row:
    """``::ffff:0.0.0.0`` accepts IPv4 only, and the tool shows it as the IPv6 wildcard."""
    if row.family == "ipv4-mapped" and row.address == "0.0.0.0":
        return row._replace(family="ipv6", address="::")
    return row


RULES = (
    Rule("ss", "ss cuts a name at its first closing parenthesis", _each(_name_cut)),
    Rule("lsof", "lsof cuts a name at its first closing parenthesis", _each(_name_cut)),
    Rule("lsof", "lsof leaves out a process whose name opens a parenthesis", _unbalanced_skipped),
    Rule("lsof", "lsof leaves out sockets without a visible owner", _owned_only),
    Rule("lsof", "lsof shows ::ffff:0.0.0.0 as the wildcard of IPv6", _each(_mapped_wildcard)),
    Rule("psutil", "psutil names one owner of a shared socket", _each(_last_owner)),
    Rule("psutil", "psutil merges sockets of one address without a visible owner", _alike_merged),
)

#: Fields that a tool does not report.
SILENT = {
    "ss": (),
    "lsof": ("dual_stack", "interface"),
    "psutil": ("dual_stack", "interface", "names"),
}


def explain(tool: str, truth: Rows, reported: Rows) -> tuple[Counter[str], list[str]]:
    """Return the smallest set of rules that explains *reported*, with the rows changed per rule, and other differences.

    A later version of a tool may need fewer rules.
    """
    nothing = dict.fromkeys(SILENT[tool])
    bare = [row._replace(**nothing) for row in truth]
    rules = [rule for rule in RULES if rule.tool == tool]
    fewest_first = chain.from_iterable(combinations(rules, number) for number in range(len(rules) + 1))
    unexplained: list[str] = []
    for chosen in fewest_first:
        needed, expected = _follow(chosen, bare)
        unexplained = difference(tool, expected, reported)
        if not unexplained:
            return needed, []
    return Counter(), unexplained


def _follow(rules: tuple[Rule, ...], rows: Rows) -> tuple[Counter[str], Rows]:
    changed: Counter[str] = Counter()
    for rule in rules:
        before, rows = rows, rule.apply(rows)
        changed[rule.about] = (Counter(before) - Counter(rows)).total()
    return +changed, [row._replace(family="ipv4") if row.family == "ipv4-mapped" else row for row in rows]


def difference(tool: str, truth: Rows, reported: Rows) -> list[str]:
    wanted, found = Counter(truth), Counter(reported)
    return [
        *(f"{tool} omits: {row}" for row in (wanted - found).elements()),
        *(f"{tool} reports: {row}" for row in (found - wanted).elements()),
    ]
