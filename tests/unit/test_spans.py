"""Pieces of a run of bytes, written by several at once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from central.keeping import spans
from central.keeping.spans import Span

PIECES = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 20)), max_size=12)


@given(PIECES)
def test_the_pieces_chosen_have_every_byte_that_all_have(pieces: list[tuple[int, int]]) -> None:
    """Whatever overlaps or is missing, those chosen reach as far as all do, without a hole and in order."""
    sizes = {spans.name(start, size): size for start, size in pieces}
    there = {byte for start, size in pieces for byte in range(start, start + size)}
    reach = next(byte for byte in range(100) if byte not in there)
    chosen = spans.covering(spans.spans(sizes))
    assert spans.end(chosen) == reach
    joined = [byte for piece, skip in spans.fresh(chosen) for byte in range(piece.start + skip, piece.end)]
    assert joined == list(range(reach))


def test_names_tell_where_a_piece_lies() -> None:
    """A name of an earlier version has no size; one that contradicts the object, or is none, is left out."""
    sizes = {"000000000000005": 3, spans.name(8, 4): 4, spans.name(12, 9): 2, "whole": 7, "000000000000020": 0}
    assert list(spans.spans(sizes)) == [Span(5, 8, "000000000000005"), Span(8, 12, "000000000000008-4")]
