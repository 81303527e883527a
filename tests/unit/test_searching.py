"""Looking for lines in a log."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from central.keeping.searching import SHOWN, Pattern
from pilot.errors import InvalidInput

BLOCK = b"begin\nError: one\nfine\nerror: two\n\nlast"


def found(pattern: Pattern, block: bytes = BLOCK, most: int = 100) -> list[tuple[int, str]]:
    return [(line.offset, line.text) for line in pattern.lines(block, 0, most)[0]]


def test_lines_that_match_are_told_with_their_offset() -> None:
    """Each line once, whole, where it begins; `^` and `$` are the line's."""
    assert found(Pattern("or: (one|two)$")) == [(6, "Error: one"), (22, "error: two")]
    assert found(Pattern("^error")) == [(22, "error: two")]
    assert found(Pattern("^ERROR", ignore_case=True)) == [(6, "Error: one"), (22, "error: two")]
    assert found(Pattern("t")) == [(22, "error: two"), (34, "last")]
    assert found(Pattern("$", plain=True)) == []
    assert found(Pattern("1+1", plain=True), b"11\n1+1\n") == [(3, "1+1")]


def test_no_match_goes_beyond_its_line() -> None:
    """Neither a class nor an escape reaches over a line break."""
    assert found(Pattern(r"one[^x]fine")) == []
    assert found(Pattern(r"one\sfine")) == []
    assert [text for _, text in found(Pattern("^$"))] == [""]


def test_what_is_left_out_is_told() -> None:
    """With enough lines found, the offset says where to look on."""
    lines, reached = Pattern("e").lines(BLOCK, 1000, 2)
    assert [line.offset for line in lines] == [1000, 1006]
    assert reached == 1017
    long = b"x" * 3 * SHOWN + b"y\n"
    ((_, text),) = found(Pattern("y"), long)
    assert len(text) == SHOWN


@pytest.mark.parametrize("text", ["", "(", "a\nb", "x" * 2000, "*", r"(?=look)", "(a{1000}){1000}"])
def test_what_is_no_expression_is_refused(text: str) -> None:
    """A pattern that cannot be, or would take much memory, is the asker's mistake and is told so."""
    with pytest.raises(InvalidInput, match="grep: expected"):
        Pattern(text)


def test_no_pattern_takes_long() -> None:
    """A pattern over which others brood for ever takes no longer than another."""
    begun = time.process_time()
    assert found(Pattern("(a+)+$"), b"a" * 100_000 + b"b\n") == []
    assert time.process_time() - begun < 5


LINES = st.lists(st.text("ab \u00e9", max_size=6), max_size=12)


@given(LINES, st.sampled_from(["a", "^a", "b$", "a.b", "\u00e9", "^$", "a*"]), st.integers(1, 5))
def test_the_lines_found_are_those_that_match(lines: list[str], expression: str, most: int) -> None:
    """In whatever steps one looks, what is found is every line that matches, in order."""
    block = "".join(f"{line}\n" for line in lines).encode()
    got, at = [], 0
    while at < len(block):
        some, at = Pattern(expression).lines(block[at:], at, most)
        got += [line.text for line in some]
    assert got == [line for line in lines if re.search(expression, line)]
