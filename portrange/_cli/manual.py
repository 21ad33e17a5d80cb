"""Help in one screen (-h) and the manual (--help), of the program and of each command."""

from __future__ import annotations

from .._frozen import Frozen
from .._render import text
from . import output
from .options import COMMON, PORT_FORMS, PORTS, option, protocol
from .output import COMMANDS, PROGRAM, load

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .options import Argument
    from .output import Command

#: The widest help; longer lines are hard to read.
_WIDEST = 100
_WITHOUT_TERMINAL = 80
#: Texts are below labels that are longer.
_LONGEST_LABEL = 32

SUMMARY = "inspect port numbers on this machine"
_HELP = (
    option("-V", "--version", action="store_true", help="print the version"),
    option("-h", action="store_true", help="print a short help"),
    option("--help", action="store_true", help="print the manual"),
)
_USAGES = (
    ("", "every listener"),
    ("PORT...", "all about ports: 443 https :8080 80/udp 127.0.0.1:80"),
    ("FIRST-LAST", "the listeners in a range: 8000-8010"),
    ("COMMAND ...", "COMMAND -h is its help, COMMAND --help its manual"),
)
#: The options of the program in the short help; the manual has all of them.
_SHORT = (
    ("-p, --protocol NAME", "tcp, udp, sctp or dccp"),
    ("-j, --json", "print JSON for programs"),
    ("-V, --version", "print the version"),
    ("-h, --help", "print a short help, the manual"),
)
_EXAMPLES = (
    ("", "every listener and its owners"),
    ("8080", "what is on port 8080, and what is it for?"),
    ("busy 8080", "why can a server not bind it?"),
    ("check 8080 || exit 1", "stop a build if a port is not safe to hard-code"),
    ("suggest my-service", "a port for a configuration file"),
    ("--json", "every listener, for a program"),
)
_STATUS = (
    ("0", "success"),
    ("2", "invalid input"),
    ("3", "the OS could not be queried (output may be partial), or output could not be written"),
    ("130", "interrupted from the keyboard"),
)
_ENVIRONMENT = (
    ("NO_COLOR", "if set and not empty: no colours, unless --color always"),
    ("TERM", '"dumb": no colours'),
    ("COLUMNS", "the width of the terminal, in place of the width that it reports"),
)
_JSON = (
    "--json prints one value in UTF-8. Commands that take several ports print an array with one entry for each port in "
    "the order of the arguments, also for a single port. Keys are in a stable order. While the major version stays the "
    "same, keys can be added; no key is renamed, removed or given another meaning. null means unknown, or none (of a "
    "name, a unit, a container)."
)

#: A label and the text beside it.
Entry = tuple[str, str]


def common_options() -> tuple[Argument, ...]:
    """Return the options that every command has."""
    return (*COMMON, *_HELP)


class Section(Frozen):
    """A section of a manual."""

    heading: str
    """The heading in capital letters."""
    entries: Sequence[Entry]
    """Labels, each with its text; the label is empty for a paragraph."""


def short_help(word: str) -> str:
    """Return the help of a command in one screen, that of the program without a name."""
    style = _style()
    lines: list[str] = []
    for section in sections_of(word):
        if section.heading not in ("USAGE", "COMMANDS", "ARGUMENTS", "OPTIONS"):
            continue
        entries = section.entries
        if section.heading == "OPTIONS":
            entries = [*entries[: -len(common_options())], *_SHORT[1:]] if word else _SHORT
        lines += [style.paint("heading", f"{section.heading.capitalize()}:"), _lines(entries, style, "  ")]
    return "\n".join(lines)


def manual(word: str) -> str:
    """Return the manual of a command, that of the program without a name."""
    style = _style()
    parts = (
        f"{style.paint('heading', section.heading)}\n{_lines(section.entries, style, '    ')}"
        for section in sections_of(word)
    )
    return "\n\n".join(parts)


def sections_of(word: str) -> list[Section]:
    """Return the sections of a manual."""
    return list(_of_command(word) if word else _of_program())


def _style() -> text.Style:
    style = output.terminal_style()
    return text.Style(min(style.columns or _WITHOUT_TERMINAL, _WIDEST), style.colour)


def _lines(entries: Sequence[Entry], style: text.Style, indent: str) -> str:
    """Return labels with their texts beside them, or below them if a label is long; paragraphs have no label."""
    lines = [text.Line(label, explanation, "") for label, explanation in entries]
    longest = max(len(line.label) for line in lines)
    if 0 < longest <= _LONGEST_LABEL:
        return text.labelled(lines, style, indent=indent, gap=2, hanging=0)
    if not longest:
        return "\n\n".join(text.labelled([line], style, indent=indent, hanging=0) for line in lines)
    below = (
        text.Line("", part, "")
        for line in lines
        for part in (line.label, f"    {line.text}" if line.text else "")
        if part
    )
    return text.labelled(list(below), style, indent=indent, hanging=0)


def _of_program() -> Iterator[Section]:
    yield Section("USAGE", [(f"{PROGRAM} {arguments}".rstrip(), explanation) for arguments, explanation in _USAGES])
    yield Section(
        "COMMANDS", [(f"{name} {arguments}".rstrip(), summary) for name, (_, arguments, summary) in COMMANDS.items()]
    )
    yield Section("OPTIONS", _entries((protocol(), *common_options())))
    yield Section("PORTS", [("", PORT_FORMS)])
    yield Section("EXAMPLES", _examples(_EXAMPLES))
    failing = "; ".join(f"{name}: {load(name).no}" for name in COMMANDS if load(name).no)
    yield Section("EXIT STATUS", [_STATUS[0], ("1", failing), *_STATUS[1:]])
    yield Section("JSON", [("", _JSON)])
    yield Section("JSON BY COMMAND", [(name, load(name).json) for name in COMMANDS])
    yield Section("ENVIRONMENT", _ENVIRONMENT)


def _of_command(word: str) -> Iterator[Section]:
    command = load(word)
    _, arguments, summary = COMMANDS[word]
    yield Section("USAGE", [(" ".join(filter(None, (PROGRAM, word, arguments, "[OPTION...]"))), summary)])
    positional = [argument for argument in command.arguments if not argument.is_option]
    if positional:
        yield Section("ARGUMENTS", _entries(positional))
    yield Section("OPTIONS", _entries((*_options(command), *common_options())))
    if PORTS in positional:
        yield Section("PORTS", [("", PORT_FORMS)])
    if command.notes:
        yield Section("NOTES", [("", note) for note in command.notes])
    yield Section("EXAMPLES", _examples(command.examples))
    yield Section("EXIT STATUS", [_STATUS[0], *([("1", command.no)] if command.no else []), *_STATUS[1:]])
    yield Section("SEE ALSO", [("", f"{PROGRAM} --help describes the JSON of each command and the environment.")])


def _options(command: Command) -> list[Argument]:
    return [argument for argument in command.arguments if argument.is_option]


def _entries(arguments: Iterable[Argument]) -> list[Entry]:
    return [(_label(argument), argument.help) for argument in arguments]


def _label(argument: Argument) -> str:
    """Return an argument as it is typed."""
    metavar = argument.options.get("metavar") or argument.dest.upper()
    if not argument.is_option:
        return f"{metavar}{'...' if argument.options.get('nargs') == '*' else ''}"
    return ", ".join(argument.names) + (f" {metavar}" if argument.takes_value else "")


def _examples(examples: Iterable[tuple[str, str]]) -> list[Entry]:
    return [(f"{PROGRAM} {line}".rstrip(), explanation) for line, explanation in examples]
