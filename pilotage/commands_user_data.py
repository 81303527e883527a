"""`pilotage user-data`: what makes a virtual machine of any cloud a pilot, for whoever starts machines by hand."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path

import click

from pilot.errors import InvalidInput, PilotageError
from pilotage.client import Client
from pilotage.secret_file import secret_file
from pilotage.shell import Shell, common, duration
from pilotage.words import plural
from wrappers.render import Bootstrap
from wrappers.user_data.clouds import CLOUDS
from wrappers.user_data.compile import UserData, compile_user_data
from wrappers.user_data.lint import problems
from wrappers.user_data.model import Boot

#: More than any user-data.
MOST_READ = 1024 * 1024


@click.command("user-data")
@click.option("--cloud", "name", type=click.Choice(sorted(CLOUDS)), required=True, help="Whose limits it is to keep.")
@click.option("--queue", help="An external queue, which the machine's pilot is of.")
@click.option("--life", default="14d", show_default=True, help="The machine powers off after that whatever it does.")
@click.option("--boot", "deadline", default="1h", show_default=True, help="Its pilot must have called within that.")
@click.option("--stays", is_flag=True, help="It does not power off when its pilot has ended.")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A new file for it, mode 0600.")
@click.option(
    "--check",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="Say what speaks against this user-data instead; - reads it from standard input.",
)
@common
def user_data(
    shell: Shell,
    name: str,
    queue: str | None,
    life: str,
    deadline: str,
    stays: bool,
    output: Path | None,
    file: Path | None,
) -> None:
    """Print the user-data for one virtual machine, or check some with --check FILE.

    The machine needs cloud-init and a Python of 3.9 or newer, as plain vendor images have. What is printed lets one
    pilot in, once, within the boot deadline; each machine needs its own. --check needs no central.

    \b
    Examples:
      pilotage user-data --cloud openstack --queue cloud --output user-data
      openstack server create --image debian-12 --flavor m1.large --user-data user-data worker-1
      pilotage user-data --cloud ec2 --check user-data
    """
    if file is not None:
        _check(shell, name, file)
        return
    if not queue:
        raise click.UsageError("say which --queue the machine's pilot is of, or --check FILE")
    if output is None and sys.stdout.isatty() and not shell.screen.json:
        raise click.UsageError(
            "what it makes is not for a terminal, and has a secret: write it to a file, as `--output user-data`"
        )
    times = _times(life, deadline)
    with secret_file(output) as target, shell.client() as client:
        made = _compiled(client, name, queue, times, stays)
        if found := problems(made.content, CLOUDS[name]):
            raise PilotageError("; ".join(found))
        if target:
            target.write(made.content)
    if shell.screen.json:
        told = {"counted": made.counted, "metadata": dict(made.beside)}
        shell.screen.data(told if output else {"user_data": made.cloud_config, **told})
        return
    if not output:
        sys.stdout.buffer.write(made.content)
        sys.stdout.flush()
    beside = "".join(f"; beside it goes the metadata {key}={value}" for key, value in made.beside.items())
    shell.screen.note(
        f"{made.counted:,} of at most {CLOUDS[name].most:,} bytes of {CLOUDS[name].field}{beside};"
        f" good for one machine, whose pilot must call within {deadline}"
    )


def _times(life: str, deadline: str) -> tuple[int, int]:
    """The machine's life and its boot deadline, in seconds."""
    times = (duration("--life", life), duration("--boot", deadline))
    if times[1] > times[0]:
        raise click.BadParameter(
            f"expected at most the {life} of --life, when the machine powers off, got {deadline}", param_hint="--boot"
        )
    return times


def _compiled(client: Client, name: str, queue: str, times: tuple[int, int], stays: bool) -> UserData:
    view = client.bootstrap(queue)
    opened = client.open_enrolment(queue, pilots=1, seconds=times[1])
    start = Bootstrap(
        stamp=secrets.token_hex(16),
        urls=view.urls,
        sha256=view.sha256,
        central=view.central,
        ticket="",
        secret_file="secret",
        site=view.site,
        queue=view.queue,
        ca_pem=view.ca_pem,
        proxy=view.proxy,
        no_proxy=view.no_proxy,
        settings=view.settings,
    )
    try:
        return compile_user_data(Boot(start, opened.token, time.time(), times[0], stays), CLOUDS[name])
    except InvalidInput:
        client.revoke_enrolment(opened.enrolment.number)
        raise


def _check(shell: Shell, name: str, file: Path) -> None:
    with click.open_file(str(file), "rb") as source:
        content = source.read(MOST_READ + 1)
    cloud = CLOUDS[name]
    found = problems(content, cloud)
    counted = -(-len(content) // 3) * 4 if cloud.base64 else len(content)
    if counted > cloud.most:
        found.append(f"expected at most {cloud.most:,} bytes for {cloud.name}, got {counted:,}")
    if shell.screen.json:
        shell.screen.data({"problems": found, "counted": counted})
    else:
        for problem in found:
            shell.screen.line(problem)
        if not found:
            shell.screen.line(f"nothing speaks against it: {counted:,} of at most {cloud.most:,} bytes")
    if found:
        raise PilotageError(f"{file}: {plural(len(found), 'problem')}; `cloud-init schema` may find more")
