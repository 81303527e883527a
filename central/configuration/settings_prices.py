"""What an hour of a queue's machines costs, as the settings have it: ``price = "0.096 USD"``."""

from __future__ import annotations

import re

from central.clouds.port import Price
from pilot.fields import Fields

_PRICE = re.compile(r"(?P<hour>[0-9]{1,6}(?:\.[0-9]{1,6})?) ?(?P<currency>[A-Z]{3})")


def price(fields: Fields) -> Price | None:
    """None where nothing is said: then a cloud is asked that tells."""
    value = fields.take("price", None)
    if value is None:
        return None
    match = _PRICE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        fields.problem("price", f'expected the price of an hour with its currency, as "0.096 USD", got {value!r}')
        return None
    return Price(float(match["hour"]), match["currency"])
