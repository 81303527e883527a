"""`pilotage usage`, `shares` and `limits`: what they ask for and print."""

import json
import time

import pytest

from pilot.use import LimitView, SharePage, ShareView, UsagePage, UsageRow
from pilotage.exits import Exit
from pilotage.moments import DAY, HOUR, beginning, moment
from pilotage.rendering_usage import core_hours, percent
from tests.unit.test_cli import FakeClient, run

NOW = 1_764_115_200.0


def page(*rows: UsageRow, span: float | None = None) -> UsagePage:
    return UsagePage(NOW - 7 * DAY, NOW, ("group", "site"), rows, span)


MUONS = UsageRow(NOW - DAY, ("muons", "here"), 10, 8, 360_000.0, 180_000.0, 2 * 10**9, 36_000.0)
TAU = UsageRow(NOW - DAY, ("tau", "far"), 2, 2, 3600.0, 0.0, 0, 0.0)


def test_use_is_a_table_and_a_sum():
    """Core-hours, the part that was CPU time and the part that was lost, for each row and for all."""
    result = run(FakeClient(usage=page(MUONS, TAU)), "usage", "--by", "group,site")

    heading, first, second = result.stdout.splitlines()
    assert heading.split()[:4] == ["GROUP", "SITE", "ATTEMPTS", "SUCCEEDED"]
    assert first.split() == ["muons", "here", "10", "8", "100", "50", "%", "10", "%", "2.0", "GB"]
    assert second.split() == ["tau", "far", "2", "2", "1.0", "0", "%", "0", "%"]
    assert result.stderr.startswith("12 attempts, 101 core-hours, 50 % of them CPU time, 9.9 % lost; from ")


def test_spans_have_a_date():
    """With --span each row says when it begins, and the first span begins with its day."""
    client = FakeClient(usage=page(MUONS, span=DAY))

    result = run(client, "usage", "--span", "1d", "--since", "3d")

    assert result.stdout.splitlines()[1].startswith(time.strftime("%Y-%m-%d  ", time.localtime(MUONS.start)))
    (_, _, asked) = client.asked[0]
    assert asked["span"] == DAY
    assert time.localtime(asked["since"])[3:6] == (0, 0, 0)
    assert asked["until"] is None


def test_use_of_nobody_says_so():
    """An empty answer is a sentence."""
    result = run(FakeClient(usage=page()), "usage")
    assert result.stdout == ""
    assert result.stderr.startswith("no attempt ended from ")


@pytest.mark.parametrize(
    "words",
    [("--by", "colour"), ("--since", "yesterday"), ("--until", "2026-13-01"), ("--span", "0"), ("--span", "x")],
)
def test_a_wrong_time_or_key_is_a_usage_error(words):
    """What is no time or no key is refused before anybody is asked, with the option's name."""
    result = run(FakeClient(), "usage", *words)
    assert result.exit_code == Exit.USAGE
    assert words[0] in result.stderr


def test_use_for_programs():
    """--json is the record itself."""
    shown = json.loads(run(FakeClient(usage=page(MUONS)), "usage", "--json").stdout)
    assert shown["rows"][0]["core_seconds"] == 360_000.0


def test_times_as_people_type_them():
    """A duration is so long ago, a date its begin in local time."""
    assert moment("2d", NOW) == NOW - 2 * DAY
    assert moment("1h30m", NOW) == NOW - 5400
    day = moment("2026-11-01", NOW)
    assert time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(day)) == "2026-11-01 00:00:00"
    assert moment("2026-11-01T08:30", NOW) - day == 8.5 * HOUR


def test_spans_begin_where_people_expect_it():
    """Days with their midnight, hours with the hour, others wherever one asks."""
    assert time.localtime(beginning(NOW + 12_345, DAY))[3:6] == (0, 0, 0)
    assert beginning(7 * HOUR + 12, 2 * HOUR) == 7 * HOUR
    assert beginning(NOW + 12, 90) == NOW + 12


def test_shares_are_a_table():
    """What is due, what was used, and what runs now; owners have no share of their own."""
    shares = SharePage(
        7 * DAY,
        (
            ShareView("physics", "", "", 3.0, 0.75, 36_000.0, 0.5, 6),
            ShareView("physics", "muons", "ann", 1.0, 0.75, 36_000.0, 0.5, 6),
        ),
    )
    result = run(FakeClient(shares=shares), "shares")

    _, community, owner = result.stdout.splitlines()
    assert community.split() == ["physics", "3", "75", "%", "10.0", "50", "%", "6"]
    assert owner.split() == ["physics", "muons", "ann", "75", "%", "10.0", "50", "%", "6"]
    assert result.stderr == "what was used 7d ago counts half\n"


def test_limits_are_a_table():
    """What each limit is about, how full it is, and whether anything more may start."""
    limits = (
        LimitView("all", cores=100, attempts_now=3, cores_now=12),
        LimitView("muons-here", attempts=7, site="here", group="muons", attempts_now=9, cores_now=9),
        LimitView("later", attempts=0, queue="far", problem="there is no queue far"),
    )
    lines = run(FakeClient(limits=limits), "limits").stdout.splitlines()

    assert lines[1].split() == ["all", "everything", "3", "12", "of", "100"]
    assert "group muons, site here" in lines[2]
    assert lines[2].endswith("9  full")
    assert lines[3].endswith("there is no queue far")
    assert run(FakeClient(limits=()), "limits").stderr == "no limits are set\n"


def test_figures_are_short():
    """Hours and percents as people read them."""
    assert [core_hours(seconds) for seconds in (0, 1, 100, 3600, 36_000_000)] == [
        "0.0",
        "<0.001",
        "0.028",
        "1.0",
        "10,000",
    ]
    assert [percent(*pair) for pair in ((0, 0), (1, 2), (1, 1000), (0, 5))] == ["", "50 %", "0.1 %", "0 %"]
