"""`pilotage waste`: what it asks for, prints and draws."""

import time
import xml.etree.ElementTree as ElementTree

import pytest

from pilot.states import Cause
from pilot.use import WastePage, WasteRow
from pilotage.exits import Exit
from pilotage.rendering_waste import GROUPS, KINDS, waste_picture
from tests.unit.test_cli import FakeClient, run

NOW = 1_764_115_200.0
HOUR = 3_600_000_000
HERE = WasteRow(("here",), 12, {"payload-good": 80 * HOUR, "idle-drain": 15 * HOUR, "lost": 5 * HOUR})
FAR = WasteRow(("far & <away>",), 1, {"boot": HOUR, "payload-open": HOUR})
SVG = "{http://www.w3.org/2000/svg}"


def page(*rows: WasteRow) -> WastePage:
    return WastePage(NOW - 7 * 86400, None, ("site",), rows)


def test_waste_is_a_table_and_a_sum() -> None:
    """Each row says where its core-hours went, in groups of causes; the sum says how much was good."""
    result = run(FakeClient(waste=page(HERE, FAR)), "waste")

    heading, first, second = result.stdout.splitlines()
    assert heading.split() == [
        *("SITE", "PILOTS", "CORE-HOURS", "GOOD", "OPEN", "FAILED", "LOST", "PREEMPTED", "FILES", "IDLE", "START"),
    ]
    assert first.split("  ")[0] == "here"
    assert first.replace(" ", "").endswith("12100.0" + "80.0%0%0%5.0%0%0%15.0%0%")
    assert second.replace(" ", "").endswith("12.0" + "0%50.0%0%0%0%0%0%50.0%")
    assert result.stderr.startswith(
        "102.0 core-hours, 78.4 % of them in payloads that succeeded; of pilots that ended since "
    )
    assert result.stderr.endswith(", or live now\n")


def test_every_cause_by_itself() -> None:
    """With --causes there is a row for each cause that something went into."""
    result = run(FakeClient(waste=page(HERE)), "waste", "--causes")

    rows = [line.split() for line in result.stdout.splitlines()]
    assert [row[1] for row in rows[1:]] == ["payload-good", "idle-drain", "lost"]
    assert ["here", "idle-drain", "15.0", "15.0", "%"] in rows


def test_it_asks_for_keys_and_times() -> None:
    """Keys, times and community go to the central as they were said."""
    client = FakeClient(waste=page())
    result = run(client, "waste", "--by", "site,community", "--since", "2026-11-01", "--community", "hep")
    [(_, (keys,), asked)] = client.asked
    assert keys == ("site", "community")
    assert asked["until"] is None
    assert asked["community"] == "hep"
    assert result.stderr.startswith("no pilot has told of its time")


@pytest.mark.parametrize("words", [("--by", "owner"), ("--since", "yesterday"), ("--until", "never")])
def test_a_wrong_key_or_time_is_a_usage_error(words: tuple[str, str]) -> None:
    """What cannot be asked for is an error of the command line that names the option."""
    result = run(FakeClient(), "waste", *words)
    assert result.exit_code == Exit.USAGE
    assert words[0] in result.stderr


def test_the_picture_shows_each_part_in_its_measure(tmp_path) -> None:
    """The picture is XML with a bar for each row, whose parts are as wide as their share, and labels that are text."""
    target = tmp_path / "waste.svg"
    result = run(FakeClient(waste=page(HERE, FAR)), "waste", "--svg", str(target))

    assert f"the picture is in {target}" in result.stderr
    root = ElementTree.fromstring(target.read_text())
    parts = {
        title.text: float(rect.attrib["width"])
        for rect in root.iter(f"{SVG}rect")
        for title in rect.iter(f"{SVG}title")
    }
    assert parts["here: payload good 80.0 %"] == pytest.approx(16 * parts["here: vanished 5.0 %"], rel=0.001)
    assert parts["far & <away>: boot 50.0 %"] == parts["far & <away>: payload open 50.0 %"]
    words = {text.text for text in root.iter(f"{SVG}text")}
    assert {"far & <away>", "80 %", "100.0 h", "idle, drain  14.7 %"} <= words
    assert not any(word.startswith("preempted") for word in words if word)


def test_a_picture_holds_a_dozen_bars() -> None:
    """Of many rows the largest are drawn, and all others are one bar."""
    rows = [WasteRow((f"site {number}",), 1, {"boot": number * HOUR}) for number in range(1, 31)]
    root = ElementTree.fromstring(waste_picture(page(*rows)))
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert [word for word in words if word and word.startswith("site ")] == [f"site {30 - n}" for n in range(11)]
    assert "all others" in words


def test_what_is_shown_adds_up() -> None:
    """The rows add up to the sum, each row's parts to 100 %, and so does the legend of the picture, however odd."""
    rows = [WasteRow((f"{number}" * 32,), 1, {"boot": 1, "lost": 1, "payload-good": 301_234_567}) for number in "abc"]
    odd = WastePage(
        0.0, None, ("pilot",), (*rows, WasteRow(("d" * 32,), 1, {"boot": HOUR, "lost": HOUR, "image": HOUR}))
    )

    for options in ((), ("--causes",)):
        result = run(FakeClient(waste=odd), "waste", *options)
        lines = [line.replace(" %", "%").split() for line in result.stdout.splitlines()]
        hours = sum(float(line[2]) for line in lines[1:])
        assert f"{hours:.2f} core-hours" in result.stderr
        parts = [float(word[:-1]) for line in lines[1:] for word in line if word.endswith("%")]
        assert sum(parts) == pytest.approx(400)
        assert lines[1][0] == "aaaaaaaa"
    legend = [text.text for text in ElementTree.fromstring(waste_picture(odd)).iter(f"{SVG}text")]
    shares = [float(text.split("  ")[1][:-2]) for text in legend if text and "  " in text]
    assert sum(shares) == pytest.approx(100)


def test_a_time_without_pilots_is_said_in_the_picture() -> None:
    """An empty picture is no picture of nothing: it says of which time nobody has told."""
    since, until = (time.mktime((2019, month, 1, 8, 30, 0, 0, 0, -1)) for month in (1, 7))
    said = "no pilot has told of its time from 1 January 2019, 08:30 to 1 July 2019, 08:30"
    assert said in waste_picture(WastePage(since, until, ("site",), ()))


def test_every_cause_is_shown_somewhere() -> None:
    """No cause is left out of the table's groups or of the picture."""
    assert sorted(cause for causes in GROUPS.values() for cause in causes) == sorted(Cause)
    assert set(KINDS) == set(Cause)
