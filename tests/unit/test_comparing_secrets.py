"""How long a comparison takes must not tell how much of a secret was guessed."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
#: What a name or a key is called that holds a secret, or the digest of one.
SECRET = re.compile(r"secret|secret_hash|key_hash|token_hash|mac|hmac|signature|password|passphrase|session_key")


def compared(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Equalities of two things of which one is called like a secret."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            sides = [node.left, *node.comparators]
            if any(isinstance(side, ast.Constant) for side in sides):  # with what is written here
                continue
            for side in sides:
                if SECRET.fullmatch(called(side)):
                    yield node.lineno, ast.unparse(node)


def called(node: ast.expr) -> str:
    """The last name of an expression, or the key that it is taken by."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return str(node.slice.value)
    return node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("package", ["central", "pilot", "commands", "wrappers"])
def test_secrets_are_compared_in_constant_time(package: str) -> None:
    """Nothing that is called a secret is compared by ==: `hmac.compare_digest` does."""
    found = [
        f"{path.relative_to(TOP)}:{line}: {text}"
        for path in sorted((TOP / package).rglob("*.py"))
        for line, text in compared(ast.parse(path.read_bytes()))
    ]
    assert found == []


def test_a_comparison_would_be_found() -> None:
    """The search sees names, attributes and keys, on either side."""
    tree = ast.parse('a == row["secret_hash"]\nsigned.signature != mine\nif x == key_hash: pass\nb == 1\nsecret == ""')
    assert [line for line, _ in compared(tree)] == [1, 2, 3]
