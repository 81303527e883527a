"""The command line of the pilot, and the one place where errors become exit codes."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Optional

from pilot import __version__, bootstrap
from pilot.errors import ExitCode, InvalidInput, PilotageError, Refusal, TransportError


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run a subcommand. Returns the exit code."""
    arguments = _parser().parse_args(argv)
    _hear_for_others()
    try:
        return int(arguments.call(arguments))
    except (PilotageError, OSError) as error:
        print(f"pilot: {_sentence(error)}", file=sys.stderr)
        return int(_exit_code(error))
    except KeyboardInterrupt:
        return int(ExitCode.PREEMPTED)


def _hear_for_others() -> None:
    """Go on ignoring what this process was started to ignore, as SIGHUP under nohup, but let its payloads hear it.

    A handler, unlike ignorance, is not handed down.
    """
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, _no_matter)


def _no_matter(number: int, frame: object) -> None:
    """A signal that means nothing to this process."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pilot.pyz", description="Runs people's jobs on this computer.")
    parser.add_argument("--version", action="version", version=f"pilotage pilot {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    run = verbs.add_parser("run", help="be a pilot for a central, or run one job without any")
    what = run.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", type=Path, metavar="FILE", help="pilot.json, as whoever sends pilots writes it")
    what.add_argument("--job", type=Path, metavar="FILE", help="a job (YAML or JSON) to run here and now")
    run.add_argument("--agents", type=int, metavar="N", help="with --config: agents that share this computer")
    run.add_argument("--work", type=Path, metavar="FOLDER", help="with --job: where to work")
    run.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="with --job: change a key of it")
    run.add_argument("--member", action="append", default=[], metavar="NAME=VALUE", help="with --job: which of a sweep")
    run.add_argument("--credentials", type=Path, metavar="FILE", help="with --job: those that it names; mode 0600")
    run.add_argument("--resume", type=Path, metavar="FOLDER", help="with --job: its checkpoint, to go on from")
    run.set_defaults(call=_run)

    agent = verbs.add_parser("agent", help="started by the monitor, not by people")
    agent.add_argument("--fd", type=int, required=True)
    agent.add_argument("--work", type=Path, required=True)
    agent.set_defaults(call=_agent)

    step = verbs.add_parser("step", help="started by an agent, not by people")
    step.add_argument("--fd", type=int, required=True)
    step.add_argument("--work", type=Path, required=True)
    step.set_defaults(call=_step)

    doctor = verbs.add_parser("doctor", help="say what this computer is fit for, and how that was found out")
    doctor.add_argument("--json", action="store_true", help="for programs")
    doctor.add_argument("--work", type=Path, metavar="FOLDER", help="the folder that a pilot would work in")
    doctor.add_argument("--reach", action="append", default=[], metavar="HOST:PORT", help="whom to try to connect to")
    doctor.add_argument("--bench", action="store_true", help="measure the power of a core, for some seconds")
    doctor.set_defaults(call=_doctor)
    return parser


def _run(arguments: argparse.Namespace) -> int:
    if arguments.config is None:
        return _job(arguments)
    # What is imported before `prepare` stays in the archive: this much is of the standard library alone.
    from pilot import config

    read = config.read(arguments.config, arguments.agents)
    bootstrap.prepare(bootstrap.own_archive(), read.work)
    from pilot import lean

    lean.share_one_heap()
    lean.import_requests()
    from pilot.monitor import beginning

    return beginning.run(read, bootstrap.own_archive())


def _job(arguments: argparse.Namespace) -> int:
    with _workplace(arguments.work) as work:
        bootstrap.prepare(bootstrap.own_archive(), work)
        from pilot import standalone

        given = (arguments.set, arguments.member, arguments.resume, arguments.credentials)
        return int(standalone.run(arguments.job, work, *given))


def _agent(arguments: argparse.Namespace) -> int:
    bootstrap.prepare(bootstrap.own_archive(), arguments.work)
    from pilot import agent

    return int(agent.run(arguments.fd))


def _step(arguments: argparse.Namespace) -> int:
    bootstrap.prepare(bootstrap.own_archive(), arguments.work)
    from pilot.steps import child

    return int(child.run(arguments.fd))


def _doctor(arguments: argparse.Namespace) -> int:
    from pilot.fields import host_and_port

    reach = [host_and_port(address, "--reach") for address in arguments.reach]
    with _workplace(arguments.work, visit=True) as work, _passing(work) as unpacked:
        libraries = bootstrap.prepare(bootstrap.own_archive(), unpacked)
        from pilot import doctor

        return int(doctor.run(libraries, work, arguments.json, reach, arguments.bench))


@contextmanager
def _workplace(given: Optional[Path], visit: bool = False) -> Iterator[Path]:
    """The folder that was given, else one for as long as it takes. `visit`: it is gone afterwards if we made it."""
    if given is None:
        with _passing() as folder:
            yield folder
        return
    work = given.absolute()
    missing = [folder for folder in (work, *work.parents) if not folder.exists()]
    try:
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput("--work", f"{work} cannot be made: {error.strerror or error}") from error
    try:
        yield work
    finally:
        for folder in missing if visit else ():
            with suppress(OSError):  # somebody else is at work there by now
                folder.rmdir()


@contextmanager
def _passing(place: Optional[Path] = None) -> Iterator[Path]:
    """A folder for as long as it takes: in `place`, or where nothing can be written to that, with all that passes."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=".pilotage-", dir=place))
    except OSError:
        if place is None:
            raise
        folder = Path(tempfile.mkdtemp(prefix=".pilotage-"))
    try:
        yield folder
    finally:
        # A probe that is late may still write what it has compiled there: what appears meanwhile goes in a second turn.
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _exit_code(error: Exception) -> ExitCode:
    if isinstance(error, InvalidInput):
        return ExitCode.USAGE
    if isinstance(error, Refusal):
        return ExitCode.REFUSED
    if isinstance(error, TransportError):
        return ExitCode.NO_CONTACT
    return ExitCode.INTERNAL


def _sentence(error: Exception) -> str:
    if isinstance(error, Refusal):
        return f"the central refused this pilot ({error.type}): {error}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
