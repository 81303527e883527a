"""The command line: ``pilotage``. Here commands meet, and errors become exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from pilot.errors import PilotageError, of_system
from pilotage import commands_canary, connection, exits  # noqa: F401 - `queue test` joins its group
from pilotage.client import Client
from pilotage.commands_audit import audit
from pilotage.commands_bundles import bundle, pipelines
from pilotage.commands_central import backup, down, up, whoami
from pilotage.commands_communities import community, group
from pilotage.commands_cost import cost
from pilotage.commands_credentials import credential
from pilotage.commands_enrolment import enrolment
from pilotage.commands_errors import errors
from pilotage.commands_explain import explain
from pilotage.commands_jobs import hold, job, jobs, kill, priority, release, reschedule
from pilotage.commands_login import login, logout
from pilotage.commands_logs import logs
from pilotage.commands_members import member
from pilotage.commands_peek import peek
from pilotage.commands_pilots import drain, halt, pilot, pilots
from pilotage.commands_places import queue, site
from pilotage.commands_queues import queues
from pilotage.commands_results import output
from pilotage.commands_sites import sites
from pilotage.commands_submit import submit
from pilotage.commands_tokens import token
from pilotage.commands_usage import limits, shares, usage
from pilotage.commands_user_data import user_data
from pilotage.commands_vms import vm, vms
from pilotage.commands_waste import waste
from pilotage.exits import Exit
from pilotage.screen import Screen, visible
from pilotage.shell import Shell
from pilotage.transport import Trouble

#: Commands in the order in which one meets them.
SECTIONS = {
    "A central on this machine": (up, down, backup),
    "Jobs": (submit, jobs, job, logs, peek, output, explain, kill, hold, release, reschedule, priority),
    "Pilots": (pilots, pilot, vms, vm, queues, sites, drain, halt),
    "Where pilots come from": (site, queue, enrolment, user_data),
    "Use": (usage, waste, cost, shares, limits),
    "Communities and people": (community, group, member, audit),
    "Commands of communities": (bundle, pipelines),
    "Help": (errors,),
    "Yourself": (login, logout, whoami, token, credential),
}


class Sections(click.Group):
    """A group whose help lists commands under headings."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, commands in SECTIONS.items():
            with formatter.section(heading):
                formatter.write_dl([(command.name or "", command.get_short_help_str(90)) for command in commands])


@click.group(cls=Sections, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="pilotage", message="%(prog)s %(version)s")
def cli() -> None:
    """Run jobs on computers that nobody installed for them.

    \b
    A first job, all on this machine:
      pilotage up --detach
      echo 'command: [echo, hello]' > job.yaml
      pilotage submit job.yaml --watch
      pilotage logs 1

    Every command has --help with an example, --json for programs, and --folder.
    """


for _commands in SECTIONS.values():
    for _command in _commands:
        cli.add_command(_command)


def connect(folder: Path | None, patience: float, trouble: Trouble) -> Client:
    """A client, as the folder or the environment says."""
    return Client.connected(connection.find(os.environ, folder), patience=patience, trouble=trouble)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line. Returns the exit code; `docs/exit-codes.md` lists them."""
    shell = Shell(connect, Screen())
    try:
        code = cli.main(
            list(arguments) if arguments is not None else None, obj=shell, prog_name="pilotage", standalone_mode=False
        )
    except click.exceptions.Abort:
        return _interrupted()
    except KeyboardInterrupt:
        return _interrupted()
    except click.ClickException as error:
        error.show()
        return int(error.exit_code)
    except PilotageError as error:
        for sentence in visible(exits.sentences(error)).split("\n"):
            print(f"pilotage: {sentence}", file=sys.stderr)
        return int(exits.of(error))
    except BrokenPipeError:  # whoever read our output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Exit.FAILED)
    except OSError as error:  # a file or folder that somebody named, or the disk below it
        print(f"pilotage: {visible(of_system(error))}", file=sys.stderr)
        return int(Exit.FAILED)
    return code if isinstance(code, int) else int(Exit.DONE)


def _interrupted() -> int:
    print("pilotage: interrupted; jobs that were submitted go on.", file=sys.stderr)
    return int(Exit.INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
