"""`portrange check PORT...`: whether fixed ports are safe to rely on."""

from __future__ import annotations

from .._answers.listener import owners_text
from .._answers.port import RISK_KINDS, PortInfo, reason_of, used_by
from .._frozen import Frozen
from .._questions.classify import classify
from .._registry.facts import DEFAULT_RANGES, DEFAULT_TARGETS
from .._render import text
from .._render.strings import joined, visible
from .cmd_list import LISTENERS_IN_JSON
from .cmd_show import listening
from .inputs import STDIN, ports
from .manifests import Published, conflicts, read_published
from .options import PORTS, option
from .output import NO, OK, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._answers.listener import Listeners
    from .._answers.port import Risk
    from .._errors import PortrangeError
    from .options import Parsed

_SYSTEMS = tuple(ports.system for ports in DEFAULT_RANGES)


class Checked(Frozen):
    """A port with the risks that it fails for, and its listeners."""

    info: PortInfo
    """The properties of the port."""
    failing: tuple[Risk, ...]
    """The risks that the command fails for."""
    published_by: tuple[str, ...]
    """The services and workloads of the file that publish the port."""
    conflicts: tuple[str, ...]
    """Where they publish it more than once on the same host address."""
    listening: Listeners | None
    """The listeners on the port, None if they could not be determined."""
    failure: PortrangeError | None
    """Why they could not be determined."""

    @property
    def passes(self) -> bool:
        """True if the command does not fail for the port."""
        return not self.failing and not self.conflicts


def _run(arguments: Parsed) -> Output:
    arguments.host = arguments.host.snapshot()
    files: list[str] = arguments.files or []
    published = [port for file in files for port in read_published(file)]
    numbers = [*(target.first for target in ports(arguments.ports)), *(port.port for port in published)]
    if not numbers and not files:
        raise ValueError("no ports: name some, or - for standard input, or --from FILE")
    clashes = conflicts(published)
    checked = [_check(number, arguments, published, clashes.get(number, [])) for number in dict.fromkeys(numbers)]
    lines = [line for port in checked for line in _lines(port, verbose=arguments.verbose)]
    sources = joined("standard input" if file == STDIN else file for file in files)
    return Output(
        text.labelled(lines, arguments.style, gap=2) if checked else visible(f"no published ports in {sources}"),
        [_data(port) for port in checked],
        OK if all(port.passes for port in checked) else NO,
    )


def _check(number: int, arguments: Parsed, published: list[Published], clashes: list[str]) -> Checked:
    info = classify(number, targets=arguments.target or DEFAULT_TARGETS, host=arguments.host)
    failing = tuple(
        risk
        for risk in info.risks
        if risk.kind not in (arguments.accept or ()) and (arguments.strict or risk.severity == "high")
    )
    origins = dict.fromkeys(port.origin for port in published if port.port == number)
    return Checked(info, failing, tuple(origins), tuple(clashes), *listening(number, arguments.host))


def _data(port: Checked) -> dict[str, object]:
    return {
        **port.info.to_dict(),
        "passes": port.passes,
        "published_by": list(port.published_by),
        "conflicts": list(port.conflicts),
        "listening": None if port.listening is None else port.listening.to_dict(),
    }


# --- text ------------------------------------------------------------------------------------------------------------


def _lines(port: Checked, *, verbose: bool) -> Iterator[text.Line]:
    """Yield the line of a port; with *verbose*, a line for each risk with its kind, as `--accept` takes it."""
    verdict, role = ("ok", "good") if port.passes else ("FAIL", "bad")
    facts = [*port.conflicts, _failure(port.failing) if port.failing else _notes(port.info)]
    if port.published_by:
        facts.append(f"published by {joined(port.published_by)}")
    facts += _in_use(port)
    yield text.Line(f"{port.info.number:<5} {verdict:<4}", "; ".join(facts), role)
    if verbose:
        yield from (text.Line("", f"{risk.severity}: {risk.detail} [{risk.kind}]") for risk in port.info.risks)
        if port.failure is not None:
            yield text.Line("", f"unknown whether it is in use: {port.failure}")


def _failure(failing: tuple[Risk, ...]) -> str:
    """Return the first risk with its remedy, and the reasons of the others."""
    first, *others = failing
    # The default range of this system is usually the range of this host.
    if first.kind == "host-range":
        others = [risk for risk in others if risk.kind != "default-range"]
    return "; ".join([first.detail, *map(reason_of, others)])


def _notes(info: PortInfo) -> str:
    reasons = (used_by(info.common_uses) if risk.kind == "common-use" else reason_of(risk) for risk in info.risks)
    return "; ".join(reasons) or "no known risks"


def _in_use(port: Checked) -> Iterator[str]:
    """Yield who has the port now, if it is in use. That is no risk: it may be the service that the port is for."""
    if port.listening is None or not len(port.listening):
        return
    yield in_use(port.listening)


def in_use(found: Listeners) -> str:
    """Return who uses a port now, for a sentence."""
    owners = dict.fromkeys(owner for listener in found for owner in listener.owners)
    return f"in use now by {owners_text(owners)}" if owners else "in use now, owner hidden"


COMMAND = Command(
    (
        PORTS,
        option(
            "--target",
            action="append",
            type=str.lower,
            choices=_SYSTEMS,
            metavar="NAME",
            help=f"a system that the project runs on; may be repeated (default: {', '.join(DEFAULT_TARGETS)})",
        ),
        option("--strict", action="store_true", help="fail for any risk, also a low one"),
        option(
            "--accept",
            action="append",
            choices=RISK_KINDS,
            metavar="KIND",
            help="ignore this kind of risk; may be repeated; --verbose prints the kinds",
        ),
        option(
            "--from",
            action="append",
            dest="files",
            metavar="FILE",
            help="also check the ports that FILE publishes; - is standard input; may be repeated",
        ),
        option("--verbose", action="store_true", help="print each risk with its severity, remedy and kind"),
    ),
    _run,
    f"an array in the order of the arguments; each entry is {described(PortInfo)}; beside them passes, published_by "
    f"and conflicts (with --from), and listening, which is {LISTENERS_IN_JSON}.",
    [
        ("check 8080 5432", "may a project rely on these ports?"),
        ("check 8000-8010", "or on these?"),
        ("check 12000 --target linux --target freebsd", "if it runs on these systems"),
        ("check 10627 --strict", "fail for low risks as well"),
        ("check - < ports.txt", "the ports in a file"),
        ("check --from compose.json", "after docker compose config --format json > compose.json"),
    ],
    "a port is not safe to hard-code, or published twice",
    [
        f"Kinds of risk: {', '.join(RISK_KINDS)}.",
        f"Systems for --target: {', '.join(_SYSTEMS)}.",
        "--from reads the JSON output of docker compose config --format json, or of kubectl get -o json.",
    ],
)
