"""Results as pandas data frames with typed columns."""

from __future__ import annotations

import os
import socket

import pytest

import portrange
from portrange import Listener, Listeners, Process

pandas = pytest.importorskip("pandas", reason="pandas is not installed: pip install --group notebook")

WEB = Listener("tcp", "ipv4", "0.0.0.0", 80, owners=(Process(812, "nginx", started=1.5),), uid=0, user="root")
HIDDEN = Listener("udp", "ipv6", "::", 53, dual_stack=None, hidden=True, unit="resolved.service", container="c0ffee")


def kinds(frame) -> dict[str, str]:
    """Return the column types by name; "text" is the text type of the installed pandas."""
    text = str(pandas.Series(["text"]).convert_dtypes().dtype)
    return {name: "text" if str(kind) == text else str(kind) for name, kind in frame.dtypes.items()}


def test_numbers_and_booleans_keep_their_types():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        frame = pandas.DataFrame(portrange.listeners().to_dicts())
    [row] = [row for row in frame.itertuples() if row.port == port]
    assert (row.address, row.pid, row.hidden) == ("127.0.0.1", os.getpid(), False)
    assert (frame.dtypes["port"], frame.dtypes["hidden"]) == ("int64", "bool")


def test_missing_values_do_not_turn_integers_into_floats():
    frame = pandas.DataFrame(Listeners((HIDDEN, WEB)).to_dicts()).convert_dtypes()
    assert kinds(frame) == {
        **dict.fromkeys(["protocol", "family", "address", "scope", "user", "unit", "container", "process"], "text"),
        **dict.fromkeys(["port", "uid", "pid"], "Int64"),
        **dict.fromkeys(["dual_stack", "hidden", "user_unit"], "boolean"),
        # Sequences of processes and columns without any value have no specific type.
        **dict.fromkeys(
            ["owners", "possible_owners", "interface", "cgroup", "namespace", "backlog", "queued"], "object"
        ),
    }
    assert frame["pid"].tolist() == [pandas.NA, 812]


def test_owners_can_be_normalized_into_a_frame():
    rows = Listeners((HIDDEN, WEB)).to_dicts()
    frame = pandas.json_normalize(rows, "owners", ["protocol", "port"]).convert_dtypes()
    assert frame[["protocol", "port", "pid", "name"]].values.tolist() == [["tcp", 80, 812, "nginx"]]


def test_no_listeners_give_an_empty_frame_with_all_columns():
    frame = pandas.DataFrame(Listeners().to_dicts(), columns=Listener.columns())
    assert (len(frame), list(frame)) == (0, list(WEB.to_dict()))


@pytest.mark.parametrize("result", [portrange.classify(80), portrange.ephemeral_range(), portrange.ephemeral_usage()])
def test_every_result_is_a_row(result):
    frame = pandas.DataFrame([result.to_dict()])
    assert (len(frame), list(frame)) == (1, result.columns())
