"""The process of a step: becomes another user where it is told to, imports the command, runs it, says what came of it.

Whatever the command does happens here: the agent has given nothing away but what is in the task.
"""

from __future__ import annotations

import os
import resource
import socket
import sys
import traceback
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, Optional, Union

# All that a command may need of ours is imported before another user is become, who may not read our files.
from commands.changes import check_environment, check_facts, news
from commands.context import Context, Unfit
from commands.programs import RealPrograms
from commands.registry import Command, load
from pilot.errors import ExitCode, PilotageError
from pilot.payloads import rights
from pilot.standard import is_ours
from pilot.steps.talk import Hearing, Looked, Snapshot, Task, Told, send, understood

#: Seconds for the task to come; the agent has it ready.
PATIENCE = 60.0
#: Variables that are the step's own, whatever payloads will have.
ITS_OWN = frozenset(("HOME", "TMPDIR", "USER", "LOGNAME"))


def run(fd: int) -> ExitCode:
    """Do the task that comes over an inherited socket."""
    end = socket.socket(fileno=fd)
    end.set_inheritable(False)
    hearing = Hearing(end)
    line = hearing.within(PATIENCE)
    if line is None:
        return ExitCode.INTERNAL
    task = understood(Task, line)
    ours = {name: load(f"commands.{name}", name, name) for name in task.names if is_ours(name)}
    _retire(task.user)
    _import_from(task.bundles)
    if task.snapshot is not None:
        _equip(task.snapshot.environment)
    answer = _answer(task, ours)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    end.settimeout(None)
    send(end, answer)
    return ExitCode.DONE


def _answer(task: Task, ours: Mapping[str, Command]) -> Union[Looked, Told]:
    if task.user is not None and not os.access(os.__file__, os.R_OK):
        why = f"the user {task.user[0]} for payloads cannot read the modules of {sys.executable}: {os.__file__}"
        return Looked(problems=(why,)) if task.snapshot is None else Told("unfit", why)
    return _look(task) if task.snapshot is None else _work(task.names[0], task.snapshot, ours.get(task.names[0]))


def _retire(user: Optional[tuple[int, int]]) -> None:
    """Become somebody who can do no harm to the pilot; the kernel takes this process first when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        pass
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if user is None:
        return
    uid, gid = user
    rights.gain_nothing()
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.umask(0o022)  # what it installs is for payloads of other users to read, unless it says otherwise


def _import_from(bundles: tuple[str, ...]) -> None:
    """Bundles come after what Python brings along. Our libraries are not for them: another user cannot read those."""
    ours = {str(Path(__file__).resolve().parents[2])} if not os.environ.get("PYTHONPATH") else set()
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry) not in ours] + list(bundles)
    sys.dont_write_bytecode = True
    os.environ.pop("PYTHONPATH", None)  # it led to us, and to nothing of theirs


def _equip(environment: Mapping[str, str]) -> None:
    """Have the variables that payloads will have. They may name libraries to load: never before `_retire`."""
    os.environ.update({name: value for name, value in environment.items() if name not in ITS_OWN})


def _look(task: Task) -> Looked:
    found, problems = [], []
    for name in task.names:
        try:
            found.append(_theirs(name).record())
        except PilotageError as problem:  # noqa: PERF203 - each is told
            problems.append(str(problem))
            _show(problem.__cause__)
    return Looked(tuple(found), tuple(problems))


def _theirs(name: str) -> Command:
    module, attribute = name.split(":")
    return replace(load(module, attribute, name), name=name)


def _work(name: str, snapshot: Snapshot, ours: Optional[Command]) -> Told:
    before = _context(snapshot)
    try:
        after: Any = (ours or _theirs(name)).run(before)
    except Unfit as problem:
        return Told("unfit", str(problem))
    except PilotageError as problem:
        _show(problem.__cause__)
        return Told("failed", str(problem))
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a community's code may raise anything
        _show(error)
        return Told("failed", f"{name}: {type(error).__name__}: {error}")
    if not isinstance(after, Context):
        return Told("failed", f"{name} returned {type(after).__name__}, expected a Context")
    facts = news(before.facts, after.facts)
    try:
        check_environment(after.environment)
        check_facts(before.facts, facts)
    except PilotageError as problem:
        return Told("failed", str(problem))
    return Told("ok", "", after.environment, facts)


def _context(snapshot: Snapshot) -> Context:
    here: Any = _Elsewhere()
    return Context(
        stamp=snapshot.stamp,
        site=snapshot.site,
        queue=snapshot.queue,
        work=Path(snapshot.work),
        settings=snapshot.settings,
        clock=here,
        random=here,
        node=here,
        central=here,
        computing=here,
        say=lambda line: print(line, flush=True),
        communities=snapshot.communities,
        required_tags=snapshot.required_tags,
        agent=snapshot.agent,
        agents=snapshot.agents,
        options=snapshot.options,
        facts=snapshot.facts,
        environment=dict(snapshot.environment),
        provided=snapshot.provided,
        command=snapshot.command,
        programs=RealPrograms(_pass_on),
    )


class _Elsewhere:
    """In the place of ports that a community's command has not."""

    def __getattr__(self, name: str) -> NoReturn:
        raise PilotageError(
            f"a command in a process of its own has no {name!r}: it reads facts, options, environment and provided,"
            " runs programs with `run`, and says lines with `say`"
        )

    def __call__(self, *given: object) -> NoReturn:
        raise PilotageError("a command in a process of its own has no such port")


def _pass_on(block: bytes) -> None:
    """What a program printed goes where our own output goes."""
    view = memoryview(block)
    while view:
        view = view[os.write(1, view) :]


def _show(error: Optional[BaseException]) -> None:
    if error is not None:
        traceback.print_exception(type(error), error, error.__traceback__)
