"""What the machine of a pilot costs when it is asked for."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from central.clouds.port import Price
from central.configuration.elements import Cloud
from central.configuration.settings import Queue
from central.configuration.settings_prices import price
from central.directors.pricing import FRESH, Pricing
from central.elements.port import ComputingError, Trouble
from central.records import Tariff
from pilot.errors import InvalidInput
from pilot.fields import Fields

NOW = 1_000_000.0
CLOUD = Queue("aws", "aws", "ec2", billing_period=3600, cloud=Cloud("c5.large", "ami-1"))


class Market:
    """A cloud that tells a price, or why not."""

    def __init__(self, *told: Price | ComputingError | None) -> None:
        self.told = list(told)

    async def ask(self) -> Price | None:
        found = self.told.pop(0)
        if isinstance(found, ComputingError):
            raise found
        return found


def tariffs(pricing: Pricing, *moments: float) -> list[Tariff | None]:
    async def story() -> list[Tariff | None]:
        return [await pricing.tariff(NOW + moment) for moment in moments]

    return asyncio.run(story())


def test_the_settings_come_first() -> None:
    """A price in the settings is the price, and no cloud is asked; a node of a cluster is paid when a pilot runs."""
    priced = replace(CLOUD, price=Price(0.5, "EUR"))
    assert tariffs(Pricing(priced, Market().ask), 0) == [Tariff(0.5, "EUR", 3600, machine=True)]
    cluster = Queue("c", "here", "slurm", price=Price(0.1, "EUR"))
    assert tariffs(Pricing(cluster), 0) == [Tariff(0.1, "EUR", 0, machine=False)]


def test_a_cloud_is_asked_now_and_then() -> None:
    """The price of a cloud is that of the moment, asked again after a while."""
    market = Market(Price(0.02, "USD"), Price(0.03, "USD"))
    found = tariffs(Pricing(CLOUD, market.ask), 0, FRESH - 1, FRESH)
    assert [one and one.hour for one in found] == [0.02, 0.02, 0.03]


def test_a_cloud_that_does_not_answer() -> None:
    """Where a cloud cannot be asked, the price is what it was, and before that nobody's."""
    broken = ComputingError("it does not answer", Trouble.UNREACHABLE)
    market = Market(broken, Price(0.02, "USD"), broken)
    found = tariffs(Pricing(CLOUD, market.ask), 0, FRESH, 2 * FRESH)
    assert [one and one.hour for one in found] == [None, 0.02, 0.02]
    assert tariffs(Pricing(CLOUD, Market(None).ask), 0) == [None]
    assert tariffs(Pricing(CLOUD), 0) == [None]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0.096 USD", Price(0.096, "USD")),
        ("2EUR", Price(2.0, "EUR")),
        ("0 EUR", Price(0.0, "EUR")),
        (0.096, None),
        ("0.096", None),
        ("-1 USD", None),
        ("1 dollar", None),
        ("1e3 USD", None),
    ],
)
def test_a_price_in_the_settings(text: object, told: Price | None) -> None:
    """A number of hours' price and its currency; anything else is told with an example."""
    problems: list[InvalidInput] = []
    assert price(Fields({"price": text}, "queues[0]", problems)) == told
    assert [problem.where for problem in problems] == ([] if told else ["queues[0].price"])
