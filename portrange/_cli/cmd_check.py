"""`portrange check PORT...`: whether fixed ports are safe to rely on."""

from __future__ import annotations

from .._answers.port import SEVERITIES, PortInfo
from .._questions.classify import classify
from .._render import text
from .options import port
from .output import COMMANDS, NO, OK, Command, Output, described

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from .._answers.port import Risk


def _add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("ports", type=port, nargs="+", metavar="PORT", help="port numbers to check")
    parser.add_argument("--strict", action="store_true", help="fail for any risk, also a low one")
    parser.add_argument(
        "--accept",
        action="append",
        choices=list(SEVERITIES),
        default=[],
        metavar="KIND",
        help=f"ignore this kind of risk; may be repeated: {', '.join(SEVERITIES)}",
    )


def _run(arguments: Namespace) -> Output:
    snapshot = arguments.host.snapshot()
    checked = [classify(number, host=snapshot) for number in arguments.ports]
    failing = [
        [
            risk
            for risk in info.risks
            if risk.kind not in arguments.accept and (arguments.strict or risk.severity == "high")
        ]
        for info in checked
    ]
    lines = [line for info, risks in zip(checked, failing, strict=True) for line in _lines(info, risks)]
    data = [info.to_dict() for info in checked]
    return Output(text.labelled(lines, arguments.style), data, NO if any(failing) else OK)


def _lines(info: PortInfo, failing: list[Risk]) -> list[text.Line]:
    """Return the verdict on a port, then a line for each risk with its kind, as `--accept` takes it."""
    number = f"{info.number:<5}"
    verdict = ("fails:", "not safe to rely on", "bad") if failing else ("passes:", "safe to rely on", "good")
    risks = [
        (f"{risk.severity}:", f"{risk.detail} [{risk.kind}]", "bad" if risk in failing else "notice")
        for risk in info.risks
    ]
    return [text.Line(f"{number}  {label}", detail, role) for label, detail, role in (verdict, *risks)]


COMMAND = Command(
    COMMANDS["check"][1],
    _add_arguments,
    _run,
    f"An array in the order of the arguments; each is {described(PortInfo)}.",
    [
        ("check 8080 5432", "may a project rely on these ports?"),
        ("check 443 --accept privileged", "for a service that has the privilege to bind it"),
        ("check 26756 --strict --accept other-range", "fail for every risk except this kind"),
    ],
)
