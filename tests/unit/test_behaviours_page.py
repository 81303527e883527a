"""docs/behaviours.md names for each behaviour the tests that hold it, or why it does not apply; the tests are there."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "behaviours.md"
ROW = re.compile(r"^\| ([A-Z0-9]+-\w+) \|", re.MULTILINE)
#: The numbers that a row must stand for, block by block.
NUMBERS = (
    *(f"POOL-T{number:02}" for number in range(1, 14)),
    *(f"POOL-S{number:02}" for number in (1, 2, 3, 4, 6, 8, 9, 10, 11, 12)),
    *(f"INP-{number:02}" for number in range(1, 5)),
    "CE-01",
    "CE-02",
    *(f"SING-{number:02}" for number in range(1, 11)),
    *(f"JA-{number:02}" for number in range(1, 26)),
    *(f"JW-{number:02}" for number in (1, 2, 3, 4, *range(6, 14))),
    *(f"WD-{number:02}" for number in (1, 2, 3, 5, 6, 7)),
    *(f"TL-{number:02}" for number in range(2, 9)),
    *(f"PIL-{number:02}" for number in range(1, 23)),
    *(f"LOG-{number:02}" for number in range(1, 12)),
    *(f"TQ-{number:02}" for number in (*range(1, 8), 9, 10, 11, 20, 40, 41)),
    *(f"PRI-{number:02}" for number in range(1, 10)),
    *(f"LIM-{number:02}" for number in range(1, 13)),
    *(f"ST-{number:02}" for number in range(1, 9)),
    *(f"HB-{number:02}" for number in range(1, 7)),
    *(f"AUTH-{number:02}" for number in range(1, 6)),
    "STA-01",
    "STA-02",
    *(f"CLN-{number:02}" for number in range(1, 4)),
    *(f"E2E-{number:02}" for number in range(1, 4)),
    "SBX-01",
    "LIMIT-01",
    *(f"MATCH-{number:02}" for number in range(1, 15)),
    *(f"BAD-{number:02}" for number in range(1, 9)),
    *(f"VM-{number:02}" for number in range(7, 11)),
)


def rows() -> list[tuple[str, str, str]]:
    """Number, words and proof of every row."""
    found = []
    for line in PAGE.read_text().splitlines():
        if ROW.match(line):
            number, words, proof = (cell.strip() for cell in line.strip("|").split("|"))
            found.append((number, words, proof))
    return found


@lru_cache
def functions(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def test_every_number_has_one_row() -> None:
    """No behaviour is left out, and none is there twice."""
    assert sorted(number for number, _, _ in rows()) == sorted(NUMBERS)


@pytest.mark.parametrize(("number", "words", "proof"), rows(), ids=[row[0] for row in rows()])
def test_a_row_names_tests_that_exist_or_a_reason(number: str, words: str, proof: str) -> None:
    """Each row says what is meant, and is held by a test or a captured machine that is there, or says why not."""
    assert len(words) > 10
    if proof.startswith("does not apply: "):
        assert len(proof) > 30
        return
    named = re.findall(r"`([^`]+)`", proof)
    assert named, f"{number}: expected tests in backquotes, or 'does not apply: …'"
    for name in named:
        file, _, function = name.partition("::")
        path = TESTS / file
        assert path.exists(), f"{number}: {file} is not there"
        if function:
            assert function in functions(path), f"{number}: {file} has no {function}"
        else:
            assert path.is_dir(), f"{number}: expected file::test or a folder of captured data, got {file}"
