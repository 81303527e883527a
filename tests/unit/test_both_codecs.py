"""The pilot's codec and the central's decoder read the same messages alike."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pilot import codec
from tests.unit.records import WIRE, of


@given(record=st.sampled_from(WIRE).flatmap(of))
def test_the_central_reads_what_the_pilot_writes(record: Any) -> None:
    """Every record that the pilot encodes is the same record to the central, and the other way round."""
    assert msgspec.json.decode(codec.dumps(record), type=type(record)) == record
    assert codec.loads(type(record), msgspec.json.encode(record)) == record
