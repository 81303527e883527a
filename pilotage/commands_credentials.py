"""`pilotage credential`: secrets that jobs get with their lease, kept sealed at the central."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import click

from pilot.credential import (
    MAX_VALUE,
    NAME,
    NEEDED,
    OF_CLOUDS,
    SCHEMES,
    CredentialEvent,
    CredentialRequest,
    CredentialView,
    Kind,
    check,
)
from pilot.errors import InvalidInput, InvalidJob
from pilotage.screen import Table
from pilotage.shell import Shell, common, duration
from pilotage.words import clock, plural

_PROMPTS = {
    "text": "Text",
    "bearer": "Token",
    "basic": "Password",
    "s3": "Secret key",
    "x509-proxy": "Proxy",
    "application-credential": "Secret",
    "access-key": "Secret key",
    "refresh-token": "Refresh token",
}


@click.group()
def credential() -> None:
    """Keep secrets for your jobs, and for computing elements: tokens, passwords, keys of S3, proxies.

    A job that names one in `credentials` gets it with its lease. The payload finds it in the folder
    $PILOTAGE_CREDENTIALS, and the pilot itself uses it for the URLs that it is for. What is kept is never shown again.

    \b
    Examples:
      pilotage credential set eos --kind bearer --url https://eos.example.org/user/ada/ < token
      pilotage credential set grid-proxy --kind x509-proxy --secret-file /tmp/x509up_u1000
    """


@credential.command("set")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(sorted(NEEDED)),
    default="text",
    show_default=True,
    help="What it is; computing elements take bearer and x509-proxy, clouds the two that are called for them.",
)
@click.option("--url", "urls", multiple=True, metavar="PREFIX", help="What lies below it is for; repeatable.")
@click.option("--expires", metavar="DURATION", help="It is not given to jobs after that, as 7d.")
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Where to read the secret from, - is standard input.  [default: a prompt on a terminal, else standard input]",
)
@click.option(
    "--session-token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="For s3 and access-key: where the token of a key that STS made is read from.",
)
@click.option(
    "--client-secret-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="For refresh-token: where the secret of a client that has one is read from.",
)
@click.option("--token-url", help="For refresh-token: the token endpoint, as https://login.example.org/oauth2/token.")
@click.option("--client-id", help="For refresh-token: the client that it was given to.")
@click.option("--scope", help="For refresh-token: what its access tokens are for.  [default: what it was given for]")
@click.option("--audience", help="For refresh-token: whom they are for, where the endpoint wants to be told.")
@click.option("--user", help="For basic.")
@click.option("--endpoint", help="For s3, as https://s3.example.org.")
@click.option("--access-key", help="For s3 and access-key (EC2): the key's id.")
@click.option("--id", help="For application-credential (OpenStack): its id.")
@click.option("--region", help="For s3.  [default: us-east-1]")
@click.option("--style", type=click.Choice(["path", "host"]), help="For s3: where the bucket stands.  [default: path]")
@common
def keep(
    shell: Shell,
    name: str,
    kind: str,
    urls: tuple[str, ...],
    expires: str | None,
    secret_file: Path | None,
    session_token_file: Path | None,
    client_secret_file: Path | None,
    **parts: str | None,
) -> None:
    """Keep a secret under NAME, in the place of the one that has it. The secret is never an argument.

    Jobs that run with the one before get it too: a cron job that sets it anew keeps them going.

    \b
    Examples:
      pilotage credential set licence --secret-file licence.txt
      pilotage credential set eos --kind bearer --url https://eos.example.org/user/ada/ --expires 7d < token
      pilotage credential set iam --kind refresh-token --url https://eos.example.org/ --client-id ada --token-url https://…
      pilotage credential set lake --kind s3 --url s3://lake/ada/ --endpoint https://s3.example.org --access-key AKIA…
    """
    if not NAME.fullmatch(name):
        raise click.BadParameter("expected letters, digits, '.', '_' and '-', at most 100", param_hint="NAME")
    seconds = None if expires is None else duration("--expires", expires)
    values = {key: value for key, value in parts.items() if value}
    secret = NEEDED[kind][-1]
    if session_token_file:
        values["session_token"] = _read(session_token_file, "--session-token-file").strip()
    if client_secret_file:
        values["client_secret"] = _read(client_secret_file, "--client-secret-file").strip()
    request = CredentialRequest(cast(Kind, kind), values, urls, seconds)
    _refuse([one for one in check(request) if one.where != f"values.{secret}"], secret)  # before it is typed
    values[secret] = _secret(kind, secret_file)
    _refuse(check(request), secret)
    with shell.client() as client:
        kept = client.keep_credential(name, cast(Kind, kind), values, urls, seconds)
    if shell.screen.json:
        shell.screen.data(kept)
        return
    until = f", until {clock(kept.expires)}" if kept.expires else ""
    if kind in OF_CLOUDS:
        shell.screen.line(f"{kept.name} is kept{until}; a queue of a cloud names it in [queues.credential]")
    else:
        shell.screen.line(f"{kept.name} is kept{until}; a job gets it with `credentials: [{kept.name}]`")
    if kept.problem:
        shell.screen.note(f"{kept.name} is of no use as it is: {kept.problem}")
    if kept.running:
        one = kept.running == 1
        when = "gets it at its pilot's next heartbeat" if one else "get it at their pilots' next heartbeats"
        shell.screen.note(f"{plural(kept.running, 'running job')} {when}")
    if not kept.urls and SCHEMES[kept.kind]:
        shell.screen.note("It is for payloads only: for storage that the pilot itself is to use it for, say --url.")


def _refuse(problems: Sequence[InvalidInput], secret: str) -> None:
    """Raises the problems of a credential, with the options in which they are."""
    if problems:
        raise InvalidJob(tuple(InvalidInput(_option(one.where, secret), one.problem) for one in problems))


def _option(where: str, secret: str) -> str:
    """``values.access_key`` is ``--access-key`` for whoever typed it."""
    name = where.removeprefix("values.").split("[", maxsplit=1)[0]
    if name == secret:
        return "the secret"
    spelt = {"urls": "--url", "expires_in": "--expires", "session_token": "--session-token-file"}
    spelt["client_secret"] = "--client-secret-file"
    return spelt.get(name, f"--{name.replace('_', '-')}")


@credential.command("list")
@click.option("--owner", help="Somebody else's; for community-admins.")
@common
def show(shell: Shell, owner: str | None) -> None:
    """List your credentials, without what is secret.

    \b
    Example:
      pilotage credential list
    """
    with shell.client() as client:
        found = client.credentials(owner)
    if shell.screen.json:
        shell.screen.data({"credentials": found})
        return
    shell.screen.table(credentials_table(found))
    if not found:
        shell.screen.note("there are none; `pilotage credential set NAME` keeps one")


@credential.command("remove")
@click.argument("name")
@click.option("--owner", help="Somebody else's; for community-admins.")
@common
def remove(shell: Shell, name: str, owner: str | None) -> None:
    """Remove a credential. Jobs that name it are held when their turn comes.

    \b
    Example:
      pilotage credential remove eos
    """
    with shell.client() as client:
        waiting = client.remove_credential(name, owner)
    if shell.screen.json:
        shell.screen.data({"removed": name, "waiting": waiting})
        return
    shell.screen.line(f"{name} is removed; attempts that have it keep it until they end")
    if waiting:
        jobs = f"{plural(waiting, 'waiting job')} {'names' if waiting == 1 else 'name'} it"
        shell.screen.note(f"{jobs}: held when their turn comes, unless it is set again before")


@credential.command("history")
@click.argument("name")
@click.option("--owner", help="Somebody else's; for community-admins.")
@common
def history(shell: Shell, name: str, owner: str | None) -> None:
    """Show what was done with a credential: set, removed, delivered to pilots, refused. Also after its end.

    \b
    Example:
      pilotage credential history eos
    """
    with shell.client() as client:
        found = client.credential_history(name, owner)
    if shell.screen.json:
        shell.screen.data({"events": found})
        return
    shell.screen.table(history_table(found))


def credentials_table(found: tuple[CredentialView, ...]) -> Table:
    """A row for each, with what may be shown of it."""
    rows = []
    now = time.time()
    for one in found:
        about = [f"{name} {value}" for name, value in one.shown.items()]
        problem = one.problem or ("it has expired" if one.expires is not None and one.expires <= now else "")
        note = ", ".join(filter(None, (problem, *about)))
        rows.append(
            (
                one.name,
                one.kind,
                clock(one.changed),
                clock(one.expires) or "never",
                _whom(one),
                note,
            )
        )
    return Table(("NAME", "KIND", "SET", "EXPIRES", "FOR", "NOTE"), rows)


def _whom(one: CredentialView) -> str:
    """What it is used for, as far as the central knows; a job may name any."""
    queues = f"{'queue' if len(one.queues) == 1 else 'queues'} {', '.join(one.queues)}" if one.queues else ""
    return ", ".join(filter(None, (" ".join(one.urls), queues))) or "payloads"


def history_table(found: tuple[CredentialEvent, ...]) -> Table:
    """A row for each event."""
    rows = []
    for event in found:
        attempt = f"{event.job}, attempt {event.attempt}" if event.job is not None else ""
        rows.append((clock(event.time), event.what, event.who, attempt, event.detail))
    return Table(("WHEN", "WHAT", "WHO", "JOB", "NOTE"), rows)


def _secret(kind: str, path: Path | None) -> str:
    """The secret, from a file, from standard input, or typed without being seen."""
    if path is None and sys.stdin.isatty():
        return str(click.prompt(_PROMPTS[kind], hide_input=True, confirmation_prompt=kind != "text", err=True))
    text = _read(path, "--secret-file")
    return text if kind in ("text", "x509-proxy") else text.removesuffix("\n").removesuffix("\r")


def _read(path: Path | None, option: str) -> str:
    """What is in a file, or comes from standard input; a little more than is taken, so that too much is noticed."""
    if path is None or str(path) == "-":
        content = sys.stdin.buffer.read(MAX_VALUE + 2)
    else:
        with path.open("rb") as file:
            content = file.read(MAX_VALUE + 2)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise click.BadParameter("expected text in UTF-8", param_hint=option) from error
