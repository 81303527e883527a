"""Boolean tag expressions."""

from __future__ import annotations

import time

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
    [
        ("a &", 4),
        ("a b", 3),
        ("(a", 3),
        ("a $ b", 3),
        ("a)", 2),
        ("& a", 1),
        ("a & (b | )", 10),
        ("~", 2),
        ("  a  &", 7),
        ("a && b", 4),
        ("((a | b) & c", 13),
        ("a | ~~", 7),
        ("a & b$", 6),
    ],
)
def test_errors_point_at_the_character(text: str, at: int) -> None:
    """A wrong expression names the place and the character."""
    with pytest.raises(InvalidInput, match=rf"needs\.tags: .*at character {at}\b"):
        tags.parse(text, "needs.tags")


ABSURD = {
    "too long": "a" * 20_000,
    "ten thousand terms": " & ".join(f"t{n}" for n in range(10_000)),
    "ten thousand short terms": "|".join("a" * 8000),
    "longer once blanks are between": "&".join(f"{'y' * 13}{n}" for n in range(990)),
    "deep brackets": "(" * 16_000 + "a" + ")" * 300,
    "closed deep brackets": "(" * 50 + "a" + ")" * 50,
    "negated again and again": "~" * 16_000 + "a",
}


@pytest.mark.parametrize("text", ABSURD.values(), ids=ABSURD)
def test_absurd_expressions_are_refused_quickly(text: str) -> None:
    """Length, number of tags and depth are bounded, well before the stack or anybody's patience ends."""
    began = time.process_time()
    with pytest.raises(InvalidInput) as caught:
        tags.canonical(text)
    assert time.process_time() - began < 0.5
    assert len(str(caught.value)) < 200


def test_hundreds_of_tags_are_fine() -> None:
    """An expression with 300 tags is read, and holds where they are."""
    expression = tags.parse(" & ".join(f"(t{n} | other)" for n in range(300)))
    assert tags.holds(expression, {f"t{n}" for n in range(300)})
    assert not tags.holds(expression, {f"t{n}" for n in range(299)})
    assert tags.holds(expression, {"other"})


def test_the_bound_on_depth_lets_its_own_spelling_in() -> None:
    """The deepest expression that is taken is taken again as it is spelled."""
    text = "a"
    for _ in range(tags.MAX_DEPTH // 2):
        text = f"(b | (c & {text}))"
    once = tags.canonical(text)
    assert tags.canonical(once) == once
