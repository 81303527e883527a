"""Which central, and with which token: what folders and the environment say."""

import os
from pathlib import Path

import pytest

from pilot.errors import PilotageError
from pilotage import Client, NotConfigured
from pilotage.connection import Connection, default_folder, find, from_folder

URL = "https://central.example:9618"


def write(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "client.toml"
    path.write_text(text)
    path.chmod(mode)
    return folder


def test_a_folder_says_everything(tmp_path):
    """url, token and ca of client.toml; a relative ca lies in the folder."""
    write(tmp_path, f'url = "{URL}/"\ntoken = "secret"\nca = "ca.pem"\n')

    assert from_folder(tmp_path) == Connection(URL, "secret", tmp_path / "ca.pem")


def test_the_token_is_not_shown(tmp_path):
    """Printing a connection does not print the token."""
    write(tmp_path, f'url = "{URL}"\ntoken = "secret"\n')

    assert "secret" not in repr(from_folder(tmp_path))


def test_a_folder_without_a_central_says_what_to_do(tmp_path):
    """No client.toml: how to start a central, or to name one."""
    with pytest.raises(NotConfigured, match="pilotage up"):
        from_folder(tmp_path)


def test_a_token_that_others_can_read_is_not_used(tmp_path):
    """A client.toml with the wrong mode is refused with the command that mends it."""
    write(tmp_path, f'url = "{URL}"\ntoken = "secret"\n', mode=0o644)

    with pytest.raises(PilotageError, match="chmod 600"):
        from_folder(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("url = ", "not TOML"),
        ('url = "https://a"\n', "has no token: log in with `pilotage login`"),
        ('token = "t"\n', "expected a `url`"),
        ('url = "https://a"\ntoken = "t"\nproxy = "x"\n', "proxy: unknown key"),
        ('url = "http://a"\ntoken = "t"\n', "expected an address like https://host:port"),
    ],
)
def test_a_faulty_file_is_told_with_its_path(tmp_path, text, says):
    """Mistakes in client.toml name the file and the problem; a token never goes over plain HTTP."""
    with pytest.raises(PilotageError, match=says) as caught:
        from_folder(write(tmp_path, text))
    assert "client.toml" in str(caught.value)


def test_a_named_folder_counts_before_the_environment(tmp_path):
    """--folder wins over PILOTAGE_URL."""
    write(tmp_path, f'url = "{URL}"\ntoken = "secret"\n')

    assert find({"PILOTAGE_URL": "https://other"}, tmp_path).url == URL


def test_the_environment_counts_before_the_default_folder(tmp_path):
    """PILOTAGE_URL with its token and authority need no folder."""
    environment = {"PILOTAGE_URL": URL, "PILOTAGE_TOKEN": "t", "PILOTAGE_CA": "/etc/ca.pem"}

    assert find({**environment, "PILOTAGE_FOLDER": str(tmp_path)}) == Connection(URL, "t", Path("/etc/ca.pem"))
    with pytest.raises(NotConfigured, match="PILOTAGE_TOKEN is not"):
        find({"PILOTAGE_URL": URL})


def test_the_default_folder_is_in_the_home_unless_named():
    """$PILOTAGE_FOLDER, else ~/.pilotage."""
    assert default_folder({"PILOTAGE_FOLDER": "/srv/p"}) == Path("/srv/p")
    assert default_folder({}) == Path.home() / ".pilotage"


def test_a_client_is_made_from_the_environment(monkeypatch, tmp_path):
    """Client.from_folder and Client.from_environment find what the variables name."""
    for name in [name for name in os.environ if name.startswith("PILOTAGE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PILOTAGE_FOLDER", str(write(tmp_path, f'url = "{URL}"\ntoken = "secret"\n')))

    assert Client.from_folder().connection.url == URL
    assert Client.from_environment().connection.token == "secret"
