"""Whatever of ours unpacks something beside bundles, and answers that would unpack without end.

Log chunks are in `unit/test_bodies.py` and `integration/test_api_logs.py`. The wrapper opens nothing before it has the
right digest (`integration/test_wrapper.py`). Sandboxes and checkpoints are bytes; images are opened by the runtime.
"""

from __future__ import annotations

import ast
import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from central.login import provider
from pilot.transport import Https
from tests.integration.https import Authority, Server, make_authority, serving

TOP = Path(__file__).parents[2]
#: Files of ours that open an archive or undo a compression, and of what. A new one needs a row, and its attacks.
OPENERS = {
    "central/clouds/pycloudlib/lxd.py": "user-data that the central itself has compiled, to a bound",
    "central/serving/bodies.py": "log chunks, to a bound: unit/test_bodies.py",
    "pilot/bootstrap.py": "pilot.pyz itself, which runs by then",
    "pilot/bundles.py": "bundles: here",
    "pilot/singularity/probe.py": "an image that stands in the source",
    "wrappers/bundle.py": "pilot.pyz that it has just written",
    "wrappers/libraries.py": "wheels of the lock, by their digests, when pilot.pyz is made",
    "wrappers/user_data/lint.py": "user-data that was compiled, to a bound",
}
#: What undoes something, by the names that it is called by.
OPENING = {"ZipFile", "TarFile", "unpack_archive", "decompress", "decompressobj", "GzipFile", "BZ2File", "LZMAFile"}
MODULES = {"zipfile", "tarfile", "gzip", "bz2", "lzma"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority: Authority) -> Iterator[Server]:
    """A server whose every answer is a quarter of a gigabyte, packed twice."""
    with serving(authority) as server:
        server.encoding = "gzip, gzip"
        server.files["/bomb"] = bomb()
        yield server


def bomb() -> bytes:
    """A quarter of a gigabyte of nothing, packed twice into some kilobytes."""
    packer, once = zlib.compressobj(9, wbits=31), b""
    for _ in range(256):
        once += packer.compress(bytes(2**20))
    return gzip.compress(once + packer.flush())


def peak_of(call: Callable[[], object]) -> int:
    """The most bytes that a call had at a time."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_answers_that_unpack_without_end(server: Server, authority: Authority, tmp_path: Path) -> None:
    """Of whomever the central or a pilot asks something: a small answer that would be large unpacked fills no memory
    and is given up at its bound, or is taken as the bytes that came."""
    ca = tmp_path / "ca.pem"
    ca.write_text(authority.ca_pem)
    url = f"{server.url}/bomb"
    pilot = Https(ca)
    assert pilot.send("GET", url, {}, b"", 30.0).body == server.files["/bomb"]
    pilot.close()
    with requests.Session() as session:
        session.verify, session.trust_env = str(ca), False
        ask = provider.ask_with(session)

        def asked() -> None:
            with pytest.raises(ValueError, match="more than"):
                ask(url, None, "")

        assert peak_of(asked) < 64 * 2**20


def test_nothing_else_of_ours_unpacks_anything() -> None:
    """Every file that opens an archive or undoes a compression is known, with what it opens."""
    found = set()
    for top in ("central", "commands", "pilot", "pilotage", "wrappers"):
        for path in (TOP / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and _opens(node):
                    found.add(str(path.relative_to(TOP)))
    assert found == set(OPENERS)


def _opens(call: ast.Call) -> bool:
    name = call.func
    if not isinstance(name, ast.Attribute):
        return isinstance(name, ast.Name) and name.id in OPENING
    writes = any(isinstance(each, ast.Constant) and each.value == "w" for each in _values(call))
    opens = name.attr in OPENING or (name.attr == "open" and ast.unparse(name.value) in MODULES)
    return opens and not writes


def _values(call: ast.Call) -> list[ast.expr]:
    return [*call.args, *(each.value for each in call.keywords)]
