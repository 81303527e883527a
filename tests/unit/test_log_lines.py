"""The central's own log, when what others wrote is in it."""

from __future__ import annotations

import logging

from central.serving.journal import Sentences


def test_what_others_wrote_begins_no_line_and_moves_no_cursor() -> None:
    """Last words of a pilot that look like a line of the log are set in; escapes are seen as question marks."""
    words = "it ended: oh\n2026-01-01T00:00:00.000Z INFO    An order\r\x1b[2J\u2028more"
    record = logging.LogRecord("central", logging.WARNING, "", 0, "Pilot: %s", (words,), None)
    record.fields = {"who": "oli\n2026", "number": 3}
    text = Sentences("%(levelname)s %(message)s").format(record)
    assert text.split("\n") == [
        "WARNING Pilot: it ended: oh  who=oli",
        "    2026 number=3",
        "    2026-01-01T00:00:00.000Z INFO    An order",
        "    ?[2J",
        "    more",
    ]


def test_a_traceback_stays_as_it_is() -> None:
    """What Python itself says of a failure is read as always."""
    try:
        raise ValueError("one\ntwo")
    except ValueError as error:
        record = logging.LogRecord(
            "central", logging.ERROR, "", 0, "Failed", (), (ValueError, error, error.__traceback__)
        )
    lines = Sentences("%(message)s").format(record).split("\n")
    assert lines[:2] == ["Failed", "Traceback (most recent call last):"]
