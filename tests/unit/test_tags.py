"""Boolean tag expressions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilot import tags
from pilot.errors import InvalidInput

NAMES = st.sampled_from(["a", "b", "c", "slow-disk", "cvmfs"])
TEXTS = st.recursive(
    NAMES,
    lambda inner: st.one_of(
        inner.map(lambda text: f"~({text})"),
        st.tuples(inner, st.sampled_from("&|"), inner).map(lambda three: f"({three[0]}) {three[1]} ({three[2]})"),
    ),
    max_leaves=12,
)
SETS = st.sets(NAMES)


def plain(text: str, present: set[str]) -> bool:
    """The meaning of an expression by Python's own logic."""
    words = (
        text.replace("(", " ( ").replace(")", " ) ").replace("~", " not ").replace("&", " and ").replace("|", " or ")
    )
    python = [word if word in ("(", ")", "not", "and", "or") else str(word in present) for word in words.split()]
    return bool(eval(" ".join(python)))


@given(TEXTS, SETS)
def test_means_what_logic_means(text: str, present: set[str]) -> None:
    """With every probe answered, an expression holds exactly when ordinary logic says so."""
    assert tags.holds(tags.parse(text), present) == plain(text, present)


@given(TEXTS, SETS, SETS)
def test_unknown_is_never_enough(text: str, present: set[str], unknown: set[str]) -> None:
    """An expression that holds with some tags unknown holds whatever they turn out to be."""
    if tags.holds(tags.parse(text), present - unknown, unknown):
        assert tags.holds(tags.parse(text), present - unknown)
        assert tags.holds(tags.parse(text), present | unknown)


@given(TEXTS)
def test_one_spelling(text: str) -> None:
    """The canonical form means the same, and is its own canonical form."""
    once = tags.canonical(text)
    assert tags.canonical(once) == once
    assert tags.parse(once) == tags.parse(text)


def test_neither_tag_nor_negation_of_the_unknown() -> None:
    """Of a tag whose probe failed neither `t` nor `~t` holds; one that nobody mentions is absent."""
    assert not tags.holds(tags.parse("t"), (), ("t",))
    assert not tags.holds(tags.parse("~t"), (), ("t",))
    assert tags.holds(tags.parse("~t"), ())


@given(TEXTS, SETS)
def test_demanded_tags_are_necessary(text: str, present: set[str]) -> None:
    """Without one of the tags that it demands, an expression does not hold."""
    expression = tags.parse(text)
    if not tags.demanded(expression) <= present:
        assert not tags.holds(expression, present)


@pytest.mark.parametrize(
    ("text", "at"),
    [("a &", 4), ("a b", 3), ("(a", 3), ("a $ b", 3), ("a)", 2), ("& a", 1), ("a & (b | )", 10), ("~", 2)],
)
def test_errors_point_at_the_character(text: str, at: int) -> None:
    """A wrong expression names the place and the character."""
    with pytest.raises(InvalidInput, match=rf"needs\.tags: .*at character {at}\b"):
        tags.parse(text, "needs.tags")


@pytest.mark.parametrize(
    "text", ["a" * 5000, " & ".join(f"t{n}" for n in range(300)), "(" * 50 + "a" + ")" * 50, "~" * 100 + "a"]
)
def test_absurd_expressions_are_refused(text: str) -> None:
    """Length, number of tags and depth are bounded."""
    with pytest.raises(InvalidInput):
        tags.parse(text)
