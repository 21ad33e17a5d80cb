"""Write portrange/_registry/table.py and __init__.py from IANA's own list of service names and port numbers.

    python tests/registry/generate.py                        # from IANA
    python tests/registry/generate.py FILE-OR-URL            # from a copy
    python tests/registry/generate.py FILE-OR-URL DIRECTORY  # into another directory

One line of the table is one service name on one port or range, in the order of the registry, so that a refresh can be
reviewed as a diff. Conversion rules:

- Rows of one port and name form one line with all their transports in the order tcp, udp, sctp, dccp, or none if the
  registry names none. Where the texts of the transports differ, the text of the first row comes first; the others
  follow with their transports: ``World Wide Web HTTP; sctp: HTTP``.
- Rows without a name have the state of the port in parentheses instead: (reserved) where IANA writes Reserved,
  (assigned) for "any private ..." use, else (unassigned), which includes "De-registered", "Removed" and the like: such
  ports have no assignee, and IANA does not call them reserved. The description is kept. An unknown description stops
  the generator for review.
- Names without a port (DNS-SD only) are omitted.
- White space is collapsed, because the file wraps long descriptions.

The package searches the text of the table by bisection, so a range may overlap only lines that follow it closely.

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

#: The state of the port of an unnamed row, by the beginning of its description in lower case.
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
#: A range overlaps less than this many lines after it: `REACH` in portrange/_registry/lookup.py.
REACH = 16

TABLE = '''\
"""IANA's registry of service names and port numbers: generated, do not edit.

source:   {source}
snapshot: {snapshot} (the newest registration or modification in it)
sha-256:  {digest}
rows:     {rows}
refresh:  python tests/registry/generate.py

The data is in the public domain (CC0). tests/registry/generate.py has the rules by which rows became lines: port or
range, transports, name, description, and what the registry remarks (known unauthorized use).
"""

TABLE = """\\
{table}"""
'''

DATE = '''\
"""Published facts about port numbers: IANA's registry, default ranges, ports that browsers refuse. No I/O.

REGISTRY_DATE is generated together with the table by tests/registry/generate.py, do not edit.
"""

REGISTRY_DATE = "{snapshot}"
'''


class UnexpectedRegistryError(ValueError):
    """The file is not in the expected format and needs review."""


@dataclass
class Line:
    """A table line under construction: the data of one port or range, named or unnamed."""

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
            raise UnexpectedRegistryError(f"two rows have the same transport: {row}")
        self.descriptions[protocol] = row["Description"]
        self.notes[protocol] = note


def read(source: str) -> bytes:
    """Return the bytes of a file or URL."""
    if "://" not in source:
        return Path(source).read_bytes()
    with urllib.request.urlopen(source, timeout=60) as response:
        return response.read()


def rows(content: bytes) -> list[dict[str, str]]:
    """Return the rows of IANA's CSV with white space collapsed."""
    try:
        head, *listed = csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise UnexpectedRegistryError(f"not a UTF-8 CSV table with a header: {error}") from error
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
    """Return the lines of the table in the order of ports, then of the registry."""
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
    table = sorted(found.values(), key=lambda line: ports(line.port))
    check_overlaps(table)
    return table


def ports(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def check(row: dict[str, str]) -> None:
    """Raise UnexpectedRegistryError for a row that the table cannot represent."""
    if (
        not PORTS.fullmatch(row["Port Number"])
        or not 0 <= ports(row["Port Number"])[0] <= ports(row["Port Number"])[1] <= HIGHEST
    ):
        raise UnexpectedRegistryError(f"not a port or range in the registered bands: {row}")
    if row["Transport Protocol"] not in ("", *PROTOCOLS):
        raise UnexpectedRegistryError(f"an unknown transport: {row}")
    if row["Service Name"].startswith("("):
        raise UnexpectedRegistryError(f"parentheses are reserved for unnamed rows: {row}")


def check_overlaps(table: list[Line]) -> None:
    """Stop at a range that the search in the package would miss, because too many lines follow before its end."""
    highest = -1
    for earlier, line in zip(table, table[REACH:], strict=False):
        highest = max(highest, ports(earlier.port)[1])
        if highest >= ports(line.port)[0]:
            raise UnexpectedRegistryError(f"a range overlaps more than {REACH - 1} lines after it, such as {line}")


def state(row: dict[str, str]) -> str:
    """Return the state of the port of an unnamed row."""
    description = row["Description"].lower()
    for beginning, found in STATES.items():
        if description.startswith(beginning):
            return found
    raise UnexpectedRegistryError(f"unnamed row, and no rule for its description: {row}")


def joined(texts: dict[str, str]) -> str:
    """Join the texts of the transports: the first without prefix, the others after their transports."""
    sharing: dict[str, list[str]] = {}
    for protocol, text in texts.items():
        if text:
            sharing.setdefault(text, []).append(protocol)
    first, *others = sharing or [""]
    return "; ".join((first, *(f"{', '.join(sharing[text])}: {text}" for text in others)))


def newest(listed: Iterable[dict[str, str]]) -> str:
    """Return the newest full date of a registration or modification."""
    columns = ("Registration Date", "Modification Date")
    dates = [row[column] for row in listed for column in columns if FULL_DATE.fullmatch(row[column])]
    if not dates:
        raise UnexpectedRegistryError("no row has the date of a registration or modification")
    return max(dates)


def table_module(content: bytes) -> str:
    """Return the text of table.py."""
    listed = rows(content)
    table = "".join(f"{line}\n" for line in lines(listed))
    escaped = table.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    try:
        survives = ast.literal_eval(f'"""\\\n{escaped}"""') == table
    except (SyntaxError, ValueError):
        survives = False
    if not survives:
        raise UnexpectedRegistryError("a text cannot be written as a Python literal")
    return TABLE.format(
        source=SOURCE,
        snapshot=newest(listed),
        digest=hashlib.sha256(content).hexdigest(),
        rows=len(listed),
        table=escaped,
    )


def date_module(content: bytes) -> str:
    """Return the text of __init__.py, whose REGISTRY_DATE can be imported without loading the table."""
    return DATE.format(snapshot=newest(rows(content)))


def main(arguments: list[str]) -> None:
    source, target = (*arguments, *(SOURCE, str(TARGET))[len(arguments) :])
    content = read(source)
    for name, text in (("table.py", table_module(content)), ("__init__.py", date_module(content))):
        (Path(target) / name).write_text(text, encoding="utf-8", newline="\n")
        print(f"{Path(target) / name}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
