"""`pilotage cost`: what it asks for and prints."""

from __future__ import annotations

import json

from pilot.use import CostPage, CostRow
from pilotage.exits import Exit
from tests.unit.test_cli import FakeClient, run

NOW = 1_764_115_200.0
HOUR = 3600.0
AWS = CostRow(("aws", "hep"), "USD", 12, 100 * HOUR, 9.6, 7.2)
SHARED = CostRow(("aws", ""), "USD", 3, 10 * HOUR, 0.96, 0.0)
HERE = CostRow(("here", "hep"), "EUR", 1, 2 * HOUR, 0.0123, 0.0123)


def page(*rows: CostRow, unpriced: int = 0) -> CostPage:
    return CostPage(NOW - 7 * 86400, NOW, ("site", "community"), rows, unpriced)


def test_cost_is_a_table_and_a_sum() -> None:
    """Each row says for how many hours machines were paid, what they cost, and how much of that was good."""
    result = run(FakeClient(cost=page(AWS, SHARED)), "cost", "--by", "site,community")
    heading, first, second = (line.split() for line in result.stdout.splitlines())
    assert heading == ["SITE", "COMMUNITY", "PILOTS", "HOURS", "COST", "GOOD"]
    assert first == ["aws", "hep", "12", "100.0", "9.60", "USD", "75.0", "%"]
    assert second == ["aws", "(shared)", "3", "10.0", "0.96", "USD", "0.0", "%"]
    assert result.stderr.startswith(
        "10.56 USD for 110.0 machine-hours, 68.2 % of it for payloads that succeeded; from "
    )


def test_currencies_have_sums_of_their_own() -> None:
    """Nobody adds up euros and dollars; small amounts have more decimals."""
    result = run(FakeClient(cost=page(AWS, HERE)), "cost")
    assert result.stdout.splitlines()[2].split()[-4:] == ["0.0123", "EUR", "100.0", "%"]
    assert "9.60 USD for 100.0 machine-hours" in result.stderr
    assert "and 0.0123 EUR for 2.0 machine-hours" in result.stderr


def test_pilots_without_a_price_are_told() -> None:
    """What nobody has put a price to is not taken for free."""
    result = run(FakeClient(cost=page(unpriced=5)), "cost")
    assert "no machine with a price was there" in result.stderr
    assert "nobody has put a price to 5 pilots" in result.stderr


def test_it_asks_for_keys_and_times() -> None:
    """Keys, times and community go to the central as they were said; JSON is the answer itself."""
    client = FakeClient(cost=page(AWS))
    words = ["--by", "day,community", "--since", "2026-11-01", "--community", "hep", "--json"]
    result = run(client, "cost", *words)
    [(_, (keys,), asked)] = client.asked
    assert keys == ("day", "community")
    assert asked["until"] is None
    assert asked["community"] == "hep"
    assert json.loads(result.stdout)["rows"][0]["cost"] == 9.6


def test_an_unknown_key_is_a_mistake() -> None:
    """What costs cannot be told apart by is refused before the central is asked."""
    result = run(FakeClient(), "cost", "--by", "owner")
    assert result.exit_code == Exit.USAGE
    assert "community, site, queue, day, pilot" in result.stderr
