"""Write portrange/_registry/table.py and date.py from IANA's own list of service names and port numbers.

    python tests/registry/generate.py                        # from IANA
    python tests/registry/generate.py FILE-OR-URL            # from a copy
    python tests/registry/generate.py FILE-OR-URL DIRECTORY  # into another directory

One line of the table is one service name on one port or range, in the order of the registry, so that a refresh can be
reviewed as a diff. The rules by which rows become lines:

- Rows of one port and name are one line, with all their transports in the order tcp, udp, sctp, dccp; none where the
  registry names none. A text in which the transports differ begins with that of the first row; the others follow
  with their transports: ``World Wide Web HTTP; sctp: HTTP``.
- Rows without a name have in its place, in parentheses, what they say of the port: (reserved) where IANA writes
  Reserved, (assigned) for the ports kept for "any private ..." use, else (unassigned), also for "De-registered",
  "Removed" and the like: nobody has them, and IANA does not call them reserved. Their own words stay beside it. A
  description that is not known here stops the generator: a human decides.
- Names without a port (DNS-SD only) are left out: they say nothing about a port.
- White space is folded: the file wraps long descriptions.

The registry is in the public domain (CC0): https://www.iana.org/help/licensing-terms
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import re
import sys
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

SOURCE = "https://www.iana.org/assignments/service-names-port-numbers/service-names-port-numbers.csv"
TARGET = Path(__file__).resolve().parents[2] / "portrange" / "_registry"

PROTOCOLS = ("tcp", "udp", "sctp", "dccp")
COLUMNS = (
    "Service Name",
    "Port Number",
    "Transport Protocol",
    "Description",
    "Assignee",
    "Contact",
    "Registration Date",
    "Modification Date",
    "Reference",
    "Service Code",
    "Unauthorized Use Reported",
    "Assignment Notes",
)

#: What rows without a name say of their port, by the beginning of the description in small letters.
STATES = {
    "any private ": "assigned",
    "reserved": "reserved",
    "unassigned": "unassigned",
    "(unassigned)": "unassigned",
    "de-commissioned": "unassigned",
    "de-registered": "unassigned",
    "decomissioned": "unassigned",
    "deprecated": "unassigned",
    "possibly used": "unassigned",
    "removed": "unassigned",
}


PORTS = re.compile(r"\d{1,5}(-\d{1,5})?", re.ASCII)
FULL_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
HIGHEST = 49151

TABLE = '''\
"""IANA's registry of service names and port numbers: generated, do not edit.

source:   {source}
snapshot: {snapshot} (the newest registration or modification in it)
sha-256:  {digest}
rows:     {rows}
refresh:  python tests/registry/generate.py

The data is in the public domain (CC0). tests/registry/generate.py says by which rules rows became lines: port or
range, transports, name, description, and what the registry remarks (known unauthorized use).
"""

TABLE = """\\
{table}"""
'''

DATE = '''\
"""The date of the registry's snapshot: generated with the table, do not edit."""

REGISTRY_DATE = "{snapshot}"
'''


class UnexpectedRegistryError(ValueError):
    """The file is not what this generator was written for: somebody has to look."""


@dataclass
class Line:
    """One line in the making: what is said of one port or range, under a name or without."""

    port: str
    name: str
    descriptions: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        protocols = " ".join(sorted(filter(None, self.descriptions), key=PROTOCOLS.index))
        cells = (self.port, protocols, self.name, joined(self.descriptions), joined(self.notes))
        return "\t".join(cells).rstrip("\t")

    def add(self, row: dict[str, str], note: str) -> None:
        protocol = row["Transport Protocol"]
        taken = self.descriptions
        if protocol in taken or (taken and not protocol) or "" in taken:
            raise UnexpectedRegistryError(f"two rows speak of the same transport: {row}")
        self.descriptions[protocol] = row["Description"]
        self.notes[protocol] = note


def read(source: str) -> bytes:
    """The bytes of a file or URL."""
    if "://" not in source:
        return Path(source).read_bytes()
    with urllib.request.urlopen(source, timeout=60) as answer:
        return answer.read()


def rows(content: bytes) -> list[dict[str, str]]:
    """The rows of IANA's CSV, white space folded."""
    try:
        head, *listed = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise UnexpectedRegistryError(f"not a table with a head, as CSV in UTF-8: {error}") from error
    if tuple(head) != COLUMNS:
        raise UnexpectedRegistryError(f"the columns are {head}, expected {COLUMNS}")
    for cells in listed:
        if len(cells) not in (0, len(COLUMNS)):
            raise UnexpectedRegistryError(f"a row of {len(cells)} cells, expected {len(COLUMNS)}: {cells}")
    return [
        {column: " ".join(text.split()) for column, text in zip(COLUMNS, cells, strict=True)}
        for cells in listed
        if cells
    ]


def lines(listed: Iterable[dict[str, str]]) -> list[Line]:
    """The lines of the table, in the order of ports and then of the registry."""
    found: dict[tuple[str, ...], Line] = {}
    for row in listed:
        port, name, note = row["Port Number"], row["Service Name"], row["Unauthorized Use Reported"]
        if not port:
            continue
        check(row)
        if name:
            found.setdefault((port, name), Line(port, name)).add(row, note)
        else:
            note = "; ".join(filter(None, (note, row["Assignment Notes"])))
            same = (port, row["Description"], note, "any" if row["Transport Protocol"] else "none")
            found.setdefault(same, Line(port, f"({state(row)})")).add(row, note)
    return sorted(found.values(), key=lambda line: ports(line.port))


def ports(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def check(row: dict[str, str]) -> None:
    """Stop at what the readers of the table could not understand."""
    if (
        not PORTS.fullmatch(row["Port Number"])
        or not 0 <= ports(row["Port Number"])[0] <= ports(row["Port Number"])[1] <= HIGHEST
    ):
        raise UnexpectedRegistryError(f"not a port or range that can be registered: {row}")
    if row["Transport Protocol"] not in ("", *PROTOCOLS):
        raise UnexpectedRegistryError(f"an unknown transport: {row}")
    if row["Service Name"].startswith("("):
        raise UnexpectedRegistryError(f"parentheses mark what is not a name: {row}")


def state(row: dict[str, str]) -> str:
    """What a row without a name says of its port."""
    description = row["Description"].lower()
    for beginning, found in STATES.items():
        if description.startswith(beginning):
            return found
    raise UnexpectedRegistryError(f"a row without a name, and no rule for its description: {row}")


def joined(texts: dict[str, str]) -> str:
    """The texts of the transports as one: the first plainly, others with the transports that have them."""
    sharing: dict[str, list[str]] = {}
    for protocol, text in texts.items():
        if text:
            sharing.setdefault(text, []).append(protocol)
    first, *others = sharing or [""]
    return "; ".join((first, *(f"{', '.join(sharing[text])}: {text}" for text in others)))


def newest(listed: Iterable[dict[str, str]]) -> str:
    """The newest full date of a registration or modification."""
    columns = ("Registration Date", "Modification Date")
    dates = [row[column] for row in listed for column in columns if FULL_DATE.fullmatch(row[column])]
    if not dates:
        raise UnexpectedRegistryError("no row has the date of a registration or modification")
    return max(dates)


def table_module(content: bytes) -> str:
    """The text of table.py."""
    listed = rows(content)
    table = "".join(f"{line}\n" for line in lines(listed))
    escaped = table.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    try:
        survives = ast.literal_eval(f'"""\\\n{escaped}"""') == table
    except (SyntaxError, ValueError):
        survives = False
    if not survives:
        raise UnexpectedRegistryError("a text does not survive being written as Python")
    return TABLE.format(
        source=SOURCE,
        snapshot=newest(listed),
        digest=hashlib.sha256(content).hexdigest(),
        rows=len(listed),
        table=escaped,
    )


def date_module(content: bytes) -> str:
    """The text of date.py, which answers without the table being loaded."""
    return DATE.format(snapshot=newest(rows(content)))


def main(arguments: list[str]) -> None:
    source, target = (*arguments, *(SOURCE, str(TARGET))[len(arguments) :])
    content = read(source)
    for name, text in (("table.py", table_module(content)), ("date.py", date_module(content))):
        (Path(target) / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"{Path(target) / name}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
