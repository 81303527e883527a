"""`pilotage login` and `logout`: a token of the central for whoever the identity provider says that one is."""

from __future__ import annotations

import os
import secrets
import webbrowser
from dataclasses import replace
from pathlib import Path

import click

from pilot.errors import PilotageError, Refusal
from pilot.login import CertificateLoginRequest, LoggedIn, LoginOffer, LoginRequest
from pilotage import client_file, login_by_browser, login_by_certificate, login_by_code
from pilotage.connection import FILE, Connection, NotConfigured, central_at, default_folder, known_central
from pilotage.login import entrance
from pilotage.login_by_certificate import Shown
from pilotage.provider import Provider, provider_of
from pilotage.shell import ASKING, Shell, common
from pilotage.transport import SYSTEM_CLOCK
from pilotage.words import clock


@click.command()
@click.option("--url", metavar="URL", help="The central, when client.toml does not say.")
@click.option(
    "--ca",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The authority of its certificate.  [default: those that the system trusts]",
)
@click.option("--certificate", type=click.Path(path_type=Path), help="With an X.509 certificate, a PEM file.")
@click.option("--key", type=click.Path(path_type=Path), help="Its key.  [default: in the same file]")
@click.option(
    "--proxy",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="With an X.509 proxy and its VOMS attributes.  [default: $X509_USER_PROXY, /tmp/x509up_u and your number]",
)
@click.option("--browser", is_flag=True, help="With a browser on this machine, instead of a code for any browser.")
@click.option("--community", default="", help="To work in, where you may in several.")
@click.option("--group", default="", help="To work in, where you may in several.")
@click.option("--site", default="", help="To work at as its admin, where you may elsewhere too.")
@click.option("--replace", "replacing", is_flag=True, help="Also where client.toml holds a token of another kind.")
@common
def login(
    shell: Shell,
    url: str | None,
    ca: Path | None,
    certificate: Path | None,
    key: Path | None,
    proxy: str | None,
    browser: bool,
    community: str,
    group: str,
    site: str,
    replacing: bool,
) -> None:
    """Log in with your organisation's account, for a token in client.toml that is good for some hours.

    You are shown an address and a code, to be entered in any browser on any machine. With --proxy or --certificate a
    certificate of the grid says who you are.

    \b
    Examples:
      pilotage login
      pilotage login --url https://central.example.org:9618 --ca ca.pem
      pilotage login --browser --group muons
      pilotage login --proxy
    """
    shown = _shown(certificate, key, proxy, browser)
    folder = shell.folder or default_folder(os.environ)
    before = _before(folder)
    if before and before.token and not before.login and not replacing:
        raise PilotageError(
            f"{folder / FILE} holds a token that no login gave, and that would be lost: name another --folder, or say"
            " --replace."
        )
    central = _central(folder, before, url, ca)
    with entrance(central, ASKING) as door:
        offer = door.offer() if shown is None else door.certificate_offer()
        if shown is None:
            with provider_of(_checked(offer, central), central) as provider:
                request = _said(shell, provider, browser)
            entered = door.enter(replace(request, community=community, group=group, site=site))
        else:
            wanted = CertificateLoginRequest(community, group, site)
            entered = login_by_certificate.log_in(offer, central, shown, wanted)
    by = offer.issuer if shown is None else offer.certificates
    path = client_file.write(folder, replace(central, token=entered.token, login=by))
    if before and before.login:
        _end(before)
    _tell(shell, by, entered, path)


def _shown(certificate: Path | None, key: Path | None, proxy: str | None, browser: bool) -> Shown | None:
    """The files to log in with; None: an account does. Raises `PilotageError`."""
    ways = [name for name, given in (("--certificate", certificate), ("--proxy", proxy)) if given is not None]
    ways += ["--browser"] if browser else []
    if len(ways) > 1:
        raise click.UsageError(f"{' and '.join(ways)} are different ways to log in: name one.")
    if key is not None and certificate is None:
        raise click.UsageError("--key goes with --certificate.")
    if proxy is not None:
        return login_by_certificate.proxy_of(proxy, os.environ, os.getuid())
    return login_by_certificate.certificate_of(certificate, key) if certificate is not None else None


def _checked(offer: LoginOffer, central: Connection) -> LoginOffer:
    """Raises `PilotageError` where certificates are the only way."""
    if not offer.issuer:
        raise PilotageError(f"People log in at {central.url} with certificates: say --proxy, or --certificate.")
    return offer


def _before(folder: Path) -> Connection | None:
    """What client.toml says now."""
    try:
        return known_central(folder)
    except NotConfigured:
        return None


def _central(folder: Path, before: Connection | None, url: str | None, ca: Path | None) -> Connection:
    """The central to log in at. A token that is there already is no part of it: it may be another central's."""
    if url is not None:
        return Connection(central_at(url), "", ca.absolute() if ca else None)
    if before is None:
        raise NotConfigured(
            f"There is no {folder / FILE}: say which central to log in at, `pilotage login --url https://…`."
        )
    return Connection(before.url, "", ca.absolute() if ca else before.ca)


def _said(shell: Shell, provider: Provider, browser: bool) -> LoginRequest:
    """Have somebody log in at the provider."""
    if not browser:
        got = login_by_code.log_in(provider, SYSTEM_CLOCK, lambda code: _ask(shell, code))
        return LoginRequest(got.id_token, access_token=got.access_token)
    made = login_by_browser.Secrets(*(secrets.token_urlsafe(32) for _ in range(3)))
    got = login_by_browser.log_in(provider, made, lambda url: _open(shell, url))
    return LoginRequest(got.id_token, made.nonce, access_token=got.access_token)


def _ask(shell: Shell, code: login_by_code.Code) -> None:
    shell.screen.note(f"Open {code.url} in a browser, and enter the code {code.code}")
    if code.whole_url:
        shell.screen.note(f"or open {code.whole_url}, and see that it shows the same code.")
    shell.screen.note(f"The code is good for {code.seconds / 60:.0f} min. Waiting …")


def _open(shell: Shell, url: str) -> None:
    shell.screen.note(f"Log in here, in a browser on this machine: {url}")
    webbrowser.open(url)


def _end(connection: Connection) -> None:
    """The token of the login before is good no more; when that cannot be said, it ends by itself."""
    try:
        with entrance(connection, 0.0) as door:
            door.leave()
    except PilotageError:
        pass


def _tell(shell: Shell, by: str, entered: LoggedIn, path: Path) -> None:
    if shell.screen.json:
        shown = {name: value for name, value in vars(entered).items() if name != "token"}
        shell.screen.data({**shown, "issuer": by, "file": str(path)})
        return
    where = entered.site or f"{entered.group} in {entered.community}"
    shell.screen.line(f"Logged in as {entered.user}, {entered.role} of {where}.")
    shell.screen.facts(
        [
            ("until", f"{clock(entered.expires)} (`pilotage logout` ends it before)"),
            ("token", f"number {entered.number}, in {path}"),
            ("others", ", ".join(entered.others) and f"{', '.join(entered.others)} (--group, --community, --site)"),
        ]
    )


@click.command()
@common
def logout(shell: Shell) -> None:
    """End the token that `pilotage login` has put into client.toml.

    Jobs that were submitted with it go on.

    \b
    Example:
      pilotage logout
    """
    folder = shell.folder or default_folder(os.environ)
    known = known_central(folder)
    if not known.login:
        raise PilotageError(f"{folder / FILE} has no token that a login gave.")
    try:
        with entrance(known, ASKING) as door:
            number: int | None = door.leave().number
    except Refusal as refusal:
        if refusal.type != "unauthorized":
            raise
        number = None  # it had ended, or somebody has revoked it
    path = client_file.write(folder, replace(known, token="", login=""))
    if shell.screen.json:
        shell.screen.data({"number": number, "file": str(path)})
    elif number is None:
        shell.screen.line(f"The token was good no more, and is out of {path}.")
    else:
        shell.screen.line(f"Token {number} has ended, and is out of {path}.")
