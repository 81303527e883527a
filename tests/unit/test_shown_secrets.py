"""Records that hold a secret: whoever prints one, in a traceback, a log or the name of a task, prints it without."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from central.trust.seal import Key, PilotToken
from pilot.protocol import EnrolReply, EnrolRequest, Settings

TOP = Path(__file__).parents[2]
OURS = ("central", "commands", "pilot", "pilotage", "wrappers")
#: Names of fields that hold a secret, where they are text or bytes.
SECRET = frozenset(
    {
        *("access_token", "id_token", "job_token", "session_token", "token"),
        *("code_verifier", "device_code", "key", "password", "pem", "secret", "secret_key", "session_key", "sealed"),
        *("user_data", "values"),
    }
)
#: Fields of these names that hold none: a file, an address, what something is called, or whether it holds.
NONE = {
    ("central/clouds/conformance.py", "Scene", "user_data"),  # of a trial
    ("central/configuration/elements.py", "Arc", "token"),
    ("central/configuration/elements.py", "Cloud", "key"),
    ("central/configuration/elements.py", "Ssh", "key"),
    ("central/login/provider.py", "Endpoints", "token"),
    ("central/trust/uploading.py", "Place", "key"),
    ("pilot/audit.py", "LinkedLines", "sealed"),
}


def records() -> Iterator[tuple[str, ast.ClassDef]]:
    """Every record of ours, with its file; read, not imported, since some of the files are programs."""
    for top in OURS:
        for path in sorted((TOP / top).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef) and _is_record(node):
                    yield str(path.relative_to(TOP)), node


def _is_record(node: ast.ClassDef) -> bool:
    words = [ast.unparse(each) for each in (*node.decorator_list, *node.bases)]
    return any("dataclass" in word or "Struct" in word or "NamedTuple" in word for word in words)


def shown(node: ast.ClassDef) -> Iterator[str]:
    """The fields of a record that hold a secret and are part of what it looks like."""
    if any(isinstance(each, ast.FunctionDef) and each.name == "__repr__" for each in node.body):
        return
    for each in node.body:
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.target.id in SECRET:
            kind, value = ast.unparse(each.annotation), ast.unparse(each.value) if each.value else ""
            if ("str" in kind or "bytes" in kind) and "repr=False" not in value:
                yield each.target.id


def test_no_record_shows_a_secret() -> None:
    """A field that holds one is left out of what the record looks like."""
    found = list(records())
    assert len(found) > 300
    told = {(file, node.name, name) for file, node in found for name in shown(node)}
    assert told - NONE == set()
    assert NONE - told == set()


def test_what_they_look_like() -> None:
    """The stamp, the epoch, the name of a key: enough to know which it is."""
    secret = "correct-horse-battery"
    ring, token = Key("k1", secret.encode(), 0.0), PilotToken("ab" * 16, 7, secret.encode(), 0.0, 1.0)
    said = [
        repr(ring),
        repr(token),
        repr(EnrolRequest(secret, secret, "1")),
        repr(EnrolReply(7, secret, 1, 0.0, Settings())),
    ]
    assert not [text for text in said if secret in text]
    assert "k1" in said[0]
    assert "abab" in said[1]
    assert "7" in said[1]


def test_no_traceback_shows_what_variables_held() -> None:
    """Nothing of ours asks for local variables in a traceback, nor for a dump of all that a process does."""
    asking = re.compile(r"capture_locals|show_locals|cgitb|faulthandler|f_locals|rich\.traceback|tb_frame")
    files = [path for top in OURS for path in (TOP / top).rglob("*") if path.suffix in (".py", ".sh")]
    assert len(files) > 500
    assert [str(path.relative_to(TOP)) for path in files if asking.search(path.read_text())] == []
