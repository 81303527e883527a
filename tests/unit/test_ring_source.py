"""Where a central has its key ring from: its folder, the environment, a credential of systemd."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from central.configuration.settings import Service
from central.folder import Folder
from central.trust.keys import KEY_AGE, MOST_KEYS, read, unrelated, written
from central.trust.ring_source import RingSource, make_first, ring_source, told
from central.trust.ring_variable import VARIABLE, taken
from central.trust.seal import Key, PilotToken, Ticket
from pilot.errors import PilotageError, Refusal

NOW = 1000.0
TOKEN = PilotToken("ab" * 16, 2, b"k" * 32, 10.0, 20.0, None)
KEY = Key("k1", b"a" * 32, NOW)
TEXT = written((KEY,)).decode()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def of_file(path: Path) -> RingSource:
    return RingSource("file", str(path), path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ring that was just made."""
    path = tmp_path / "keys.json"
    make_first(path, NOW)
    return path


@pytest.fixture
def credential(tmp_path: Path) -> Callable[[int], RingSource]:
    """One as systemd gives it, with this mode."""

    def source(mode: int) -> RingSource:
        path = tmp_path / "keys.json"
        path.write_text(TEXT)
        path.chmod(mode)
        os.chown(path, os.getuid(), os.getgid())
        return source_of("credential", {"CREDENTIALS_DIRECTORY": str(tmp_path)})

    return source


def source_of(kind: str, environment: dict[str, str], given: str | None = None) -> RingSource:
    return ring_source(Folder(Path("/nowhere")), Service(key_ring=kind), environment, given)


# -- a file ---------------------------------------------------------------------------------------------------------
def test_a_file_is_kept_private_and_renewed(path: Path) -> None:
    """It is for its owner alone; a new key comes with age and is written down, and old tokens stay good."""
    text = of_file(path).load(NOW).seal(TOKEN)
    assert mode(path) == 0o600
    assert of_file(path).load(NOW + KEY_AGE / 2).seal(TOKEN).partition(".")[0] == text.partition(".")[0]
    before = path.read_bytes()
    assert of_file(path).look(NOW + KEY_AGE + 1).seal(TOKEN).partition(".")[0] != text.partition(".")[0]
    assert path.read_bytes() == before, "who only looks changes nothing"
    later = of_file(path).load(NOW + KEY_AGE + 1)
    assert later.open(PilotToken, text) == TOKEN
    assert len(read(path.read_bytes(), "")) == 2
    assert mode(path) == 0o600


def test_rings_that_began_alike_stay_alike(path: Path, tmp_path: Path) -> None:
    """Centrals with copies of one ring read each other's tokens months later, also one that has run since then."""
    there = tmp_path / "there.json"
    long_running = of_file(path).load(NOW)
    there.write_bytes(path.read_bytes())
    later = NOW + 6.5 * KEY_AGE
    text = of_file(there).load(later).seal(TOKEN)
    assert text.partition(".")[0] != long_running.seal(TOKEN).partition(".")[0]
    assert long_running.open(PilotToken, text) == TOKEN
    assert of_file(path).load(later).open(PilotToken, text) == TOKEN
    assert path.read_bytes() == there.read_bytes()


def test_a_file_that_is_gone_or_broken_says_so(path: Path) -> None:
    """It is an error that names the file, never a new ring."""
    path.write_text("{")
    with pytest.raises(PilotageError, match=r"keys\.json: the key ring cannot be read"):
        of_file(path).load(NOW)
    path.unlink()
    with pytest.raises(PilotageError, match=r"keys\.json: there is no key ring; restore it from a backup"):
        of_file(path).load(NOW)
    assert not path.exists()


def test_an_unrelated_key_seals_and_the_others_open(path: Path) -> None:
    """After a new key was asked for nothing is sealed that whoever has the old ones could open; they open still."""
    before = of_file(path).load(NOW)
    old = before.seal(Ticket("a" * 32))
    key = of_file(path).add_unrelated(NOW + 10)
    after = of_file(path).load(NOW + 20)
    new = after.seal(Ticket("b" * 32))
    assert new.startswith(f"{key.id}.")
    assert after.open(Ticket, old).stamp == "a" * 32
    with pytest.raises(Refusal):
        before.open(Ticket, new)
    assert mode(path) == 0o600


@pytest.mark.parametrize("kind", ["file", "credential"])
def test_an_unrelated_key_comes_after_those_that_time_has_added(path: Path, tmp_path: Path, kind: str) -> None:
    """What other centrals have sealed meanwhile under keys that follow by themselves is opened after it as well."""
    path.chmod(0o400)
    source = RingSource(kind, str(path), path)
    later = NOW + 3.5 * KEY_AGE
    elsewhere = source.look(later).seal(TOKEN)
    source.add_unrelated(later, tmp_path / "new.json")
    assert of_file(tmp_path / "new.json").load(later).open(PilotToken, elsewhere) == TOKEN


def test_a_key_for_somewhere_else_leaves_the_file(path: Path, tmp_path: Path) -> None:
    """With an output the ring with the key is there, for its owner alone, and nothing is ever written over."""
    before = path.read_bytes()
    key = of_file(path).add_unrelated(NOW + 10, tmp_path / "new.json")
    assert path.read_bytes() == before
    assert read((tmp_path / "new.json").read_bytes(), "")[-1] == key
    assert mode(tmp_path / "new.json") == 0o600
    with pytest.raises(PilotageError, match="this file is there already"):
        of_file(path).add_unrelated(NOW + 10, tmp_path / "new.json")


def test_a_ring_never_gets_more_keys_than_can_be_read(path: Path) -> None:
    """The one that is there stays, and goes on to be read."""
    full = written([unrelated(NOW) for _ in range(MOST_KEYS)])
    path.write_bytes(full)
    with pytest.raises(PilotageError, match=f"would have {MOST_KEYS + 1} keys, expected at most {MOST_KEYS}"):
        of_file(path).add_unrelated(NOW)
    assert path.read_bytes() == full
    assert len(of_file(path).load(NOW).keys) == MOST_KEYS


# -- the environment ------------------------------------------------------------------------------------------------
def test_the_variable_is_taken_away() -> None:
    """Whoever is started after that does not inherit it."""
    environment = {VARIABLE: TEXT, "PATH": "/bin"}
    assert taken(environment) == TEXT
    assert environment == {"PATH": "/bin"}
    assert taken(environment) is None


def test_a_ring_in_the_environment_renews_itself_and_is_written_nowhere() -> None:
    """Keys follow from the one that is there; one that is to follow from none has to be put in place."""
    source = source_of("environment", {}, TEXT)
    sealed = source.load(NOW).seal(TOKEN)
    later = source.load(NOW + 30 * KEY_AGE)
    assert later.open(PilotToken, sealed) == TOKEN
    assert later.seal(TOKEN).partition(".")[0] != "k1"
    with pytest.raises(PilotageError, match="is the variable PILOTAGE_KEY_RING, which is only read: say `--output"):
        source.add_unrelated(NOW)


@pytest.mark.parametrize("given", [None, "", "  \n"])
def test_an_empty_variable_says_so(given: str | None) -> None:
    """Which it is, and how to make what belongs there."""
    with pytest.raises(PilotageError, match=r"PILOTAGE_KEY_RING is (not set|empty): .*init --ring FILE"):
        source_of("environment", {}, given)


def test_a_variable_that_is_not_asked_for_is_refused() -> None:
    """A central that had another ring than its operator thinks would seal under the wrong one."""
    with pytest.raises(PilotageError, match="PILOTAGE_KEY_RING is set, and central.toml says") as caught:
        source_of("file", {}, TEXT)
    assert "YWFh" not in str(caught.value)


def test_a_bad_variable_shows_nothing_of_itself() -> None:
    """The sentence names the variable."""
    source = source_of("environment", {}, TEXT.replace("YWFh", "YWF", 1))
    with pytest.raises(
        PilotageError, match="the variable PILOTAGE_KEY_RING: the key ring cannot be used: key 1"
    ) as caught:
        source.look(NOW)
    assert "YWF" not in str(caught.value)


def test_workers_are_told_by_a_pipe() -> None:
    """One line, whatever the variable looked like; nothing where they can read the ring themselves."""
    reading, writing = os.pipe()
    line = source_of("environment", {}, TEXT).handed_on()
    assert line.count(b"\n") == 1
    os.write(writing, line)
    assert read(told(reading).encode(), "") == (KEY,)
    os.close(writing)
    assert told(reading) == "", "who should have told it is gone"
    os.close(reading)
    assert source_of("credential", {"CREDENTIALS_DIRECTORY": "/"}).handed_on() == b""


def test_who_prints_where_the_ring_is_from_prints_no_key() -> None:
    """A traceback or a log may show it."""
    assert "YWFh" in TEXT
    assert "YWFh" not in repr(source_of("environment", {}, TEXT))


# -- a credential of systemd ----------------------------------------------------------------------------------------
def test_a_credential_is_read_and_never_written(credential: Callable[[int], RingSource]) -> None:
    """Years later it is as it was."""
    source = credential(0o400)
    sealed = source.load(NOW).seal(TOKEN)
    assert source.load(NOW + 40 * KEY_AGE).open(PilotToken, sealed) == TOKEN
    assert Path(source.where).read_text() == TEXT


@pytest.mark.parametrize("bad", [0o404, 0o444, 0o644, 0o620, 0o602, 0o420])
def test_a_credential_that_others_may_use_is_refused(credential: Callable[[int], RingSource], bad: int) -> None:
    """With its mode, and what it should be."""
    with pytest.raises(PilotageError, match=f"others than its owner may use this key ring .mode {bad:04o}.; make that"):
        credential(bad).load(NOW)


def test_what_systemd_gives_a_user_is_accepted(credential: Callable[[int], RingSource]) -> None:
    """The right to read is in an access control list there, whose mask shows as the group's, and all is root's."""
    if os.getuid() != 0:
        with pytest.raises(PilotageError, match="mode 0440"):
            credential(0o440).load(NOW)
    else:
        assert credential(0o440).load(NOW).keys == (KEY,)


def test_a_credential_that_is_not_there_says_so(tmp_path: Path) -> None:
    """Whether it is the variable or the file, and what in the unit puts it there."""
    with pytest.raises(PilotageError, match="CREDENTIALS_DIRECTORY is not set: systemd sets it"):
        source_of("credential", {})
    with pytest.raises(
        PilotageError, match=r"keys\.json: there is no key ring; LoadCredentialEncrypted=keys\.json:FILE"
    ):
        source_of("credential", {"CREDENTIALS_DIRECTORY": str(tmp_path)}).load(NOW)
    (tmp_path / "keys.json").mkdir()
    with pytest.raises(PilotageError, match=r"keys\.json: "):
        source_of("credential", {"CREDENTIALS_DIRECTORY": str(tmp_path)}).load(NOW)
