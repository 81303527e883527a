"""Where the central is and who asks: address, certificate authority and token, from a folder or the environment."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pilot.errors import InvalidInput, PilotageError
from pilot.fields import Fields

FOLDER, URL, TOKEN, CA = "PILOTAGE_FOLDER", "PILOTAGE_URL", "PILOTAGE_TOKEN", "PILOTAGE_CA"
FILE = "client.toml"


class NotConfigured(PilotageError):
    """It is not known which central to talk to, or with which token."""


@dataclass(frozen=True)
class Connection:
    """All that is needed to talk to a central."""

    url: str  # https://host:port
    token: str = field(repr=False)
    ca: Path | None = None  # the authority's certificate; None: those that the system trusts
    login: str = ""  # where the token was got by logging in, an identity provider or a port; empty: it was not


def default_folder(environment: Mapping[str, str]) -> Path:
    """``$PILOTAGE_FOLDER``, else ``~/.pilotage``."""
    return Path(environment.get(FOLDER) or "~/.pilotage").expanduser().absolute()


def find(environment: Mapping[str, str], folder: Path | None = None) -> Connection:
    """Put a connection together. Raises `NotConfigured`.

    A folder that is named counts alone. Else, when ``PILOTAGE_URL`` is set, it counts with ``PILOTAGE_TOKEN`` and
    ``PILOTAGE_CA``; else the default folder.
    """
    if folder is not None or not environment.get(URL):
        return from_folder(folder or default_folder(environment))
    if not environment.get(TOKEN):
        raise NotConfigured(f"{URL} is set and {TOKEN} is not: set it to your API token.")
    ca = environment.get(CA)
    return Connection(_checked(environment[URL], URL), environment[TOKEN], Path(ca).expanduser() if ca else None)


def from_folder(folder: Path) -> Connection:
    """What the ``client.toml`` in a folder says. Raises `NotConfigured`, or `PilotageError` for a faulty file."""
    found = known_central(folder)
    if not found.token:
        raise NotConfigured(f"{folder / FILE} has no token: log in with `pilotage login`.")
    return found


def known_central(folder: Path) -> Connection:
    """The same, also where there is no token (yet, or any more)."""
    path = folder / FILE
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotConfigured(
            f"There is no {path}, so it is not known which central to talk to. Start one here with `pilotage up`, name"
            f" another folder with --folder or {FOLDER}, or set {URL}, {TOKEN} and {CA}."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise PilotageError(f"{path} cannot be read: {error}.") from error
    if stat.S_IMODE(mode) & 0o077:
        raise PilotageError(
            f"{path} holds a token and others can read it: chmod 600 {path}, and have the token replaced."
        )
    return _parse(text, path)


def _parse(text: str, path: Path) -> Connection:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise PilotageError(f"{path} is not TOML: {error}.") from error
    problems: list[InvalidInput] = []
    fields = Fields(document, "", problems)
    url, token, ca = fields.text("url", ""), fields.text("token", "", most=4096), fields.text("ca", None, most=4096)
    if not url:
        fields.problem("", "expected a `url`")
    login = fields.text("login", "", most=1000) or ""
    fields.finish()
    if problems or not url:
        raise PilotageError("; ".join(f"{path}: {problem}" for problem in problems))
    ca_file = path.parent / Path(ca).expanduser() if ca else None
    return Connection(_checked(url, str(path)), token or "", ca_file, login)


def central_at(url: str) -> str:
    """The address of a central as somebody typed it. Raises `PilotageError`."""
    return _checked(url, "--url")


def _checked(url: str, where: str) -> str:
    """An address without a slash at its end. Raises `PilotageError`: a token goes over TLS or not at all."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise PilotageError(f"{where}: expected an address like https://host:port, got {url!r}.")
    return url.rstrip("/")
