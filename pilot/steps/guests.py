"""The commands of a pipeline that run in processes of their own: all that the engine and the agent need of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Callable, Optional

from commands.context import Context, Unfit
from commands.registry import Command, PipelineError
from pilot.attempts.environment import INHERITED, PATH
from pilot.bundles import Manifest
from pilot.enclosures.ports import Bounds, Enclosure, Enclosures
from pilot.errors import PilotageError
from pilot.payloads.families import Families
from pilot.payloads.slot_users import SlotUser, SlotUsers
from pilot.protocol import Bundle
from pilot.standard import is_theirs
from pilot.steps import checking, fetching
from pilot.steps.guest import Start, TooLate, answer
from pilot.steps.leaving import leave
from pilot.steps.output import StepLog
from pilot.steps.talk import Looked, Snapshot, Task, Told, understood

#: Seconds for all commands of a pipeline to be imported.
LOOK_TIMEOUT = 120.0
#: Characters of a reason.
LONGEST_MESSAGE = 1000
_FOLDER = "steps"


@dataclass
class Guests:
    """Starts what is not the pilot's own code. `fetch` brings a bundle; `words` are the pilot's own command line."""

    families: Families
    users: Optional[SlotUsers]
    words: Sequence[str]
    host: Mapping[str, str]  # the pilot's environment
    fetch: Callable[[Bundle], tuple[Path, Manifest]]
    more: Mapping[str, str] = field(default_factory=dict)  # variables that our own modules are found by
    enclosures: Optional[Enclosures] = None
    archives: dict[Path, str] = field(default_factory=dict)  # bundles that are here → SHA-256

    def prepare(self, context: Context, names: Sequence[str], log: StepLog) -> dict[str, Command]:
        """Fetch what the settings name, import the commands of these names once, and say what they are.

        Raises `PilotageError`: whatever is wrong with a bundle is known before the first command runs.
        """
        wanted = tuple(dict.fromkeys(name for name in names if is_theirs(name)))
        if not wanted:
            return {}
        manifests = []
        for bundle in context.settings.bundles:
            if context.settings.communities != (bundle.community,):
                whose = ", ".join(context.settings.communities) or "nobody"
                raise PipelineError(f"the bundle {bundle.name} is {bundle.community}'s, and this pilot serves {whose}")
            path, manifest = self.fetch(bundle)
            self.archives[path] = bundle.sha256
            manifests.append(manifest)
        known = {command.name for manifest in manifests for command in manifest.commands}
        lacking = [name for name in wanted if name not in known]
        if lacking:
            there = ", ".join(sorted(known)) or "none"
            raise PipelineError(f"no bundle that came has the command {lacking[0]}; the commands that came: {there}")
        try:
            looked = understood(Looked, self._ask(context, Task(wanted), LOOK_TIMEOUT, log))
        except TooLate as error:
            raise PipelineError(f"the modules of the bundles were not imported within {LOOK_TIMEOUT:g} s") from error
        if looked.problems:
            raise PipelineError(_short("; ".join(looked.problems)))
        checking.as_written(looked.commands, manifests)
        return {record.name: checking.not_to_be_run(record) for record in looked.commands}

    def run(self, command: Command, context: Context, log: StepLog) -> Context:
        """The context after a command. Raises `Unfit`, `TooLate`, `Interrupted`, `PilotageError`."""
        context.say(f"{command.name} runs in a process of its own")
        line = self._ask(context, Task((command.name,), snapshot=_seen(context)), command.timeout, log)
        told = understood(Told, line)
        if told.outcome == "unfit":
            raise Unfit(_short(told.message))
        if told.outcome != "ok":
            raise PilotageError(_short(told.message))
        after = checking.returned(context, told)
        if told.facts:
            context.central.facts(told.facts)
        return after

    def _ask(self, context: Context, task: Task, seconds: Optional[float], log: StepLog) -> bytes:
        for path, sha256 in self.archives.items():
            fetching.verify(path, sha256)
        user = self._user()
        inside: Optional[Enclosure] = None
        place: Optional[Path] = None
        try:
            place = self._place(context.work, user)
            if task.snapshot is not None:
                task = replace(task, snapshot=replace(task.snapshot, work=str(place)))
            ids = None if user is None else (user.uid, user.gid)
            task = replace(task, user=ids, bundles=tuple(map(str, self.archives)))
            inside = self._enclosure(context, place)
            return answer(self.families, self._start(context, place, user, inside), task, seconds, log)
        finally:
            if inside is not None:
                inside.close()
            if user is not None and self.users is not None:
                leave(self.users, user, place)

    def _user(self) -> Optional[SlotUser]:
        """As whom it runs: as a payload would. Raises `PilotageError` where there is nobody just now."""
        if self.users is None:
            return None
        user = self.users.take()
        if user is None:
            raise PilotageError("every user for payloads is taken by another pilot of this machine")
        return user

    def _place(self, work: Path, user: Optional[SlotUser]) -> Path:
        """A folder of the step's own, which stays: what it puts there payloads may use."""
        top = work / _FOLDER
        top.mkdir(mode=0o711, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="files-", dir=top))  # other agents of this pilot work beside us
        place.chmod(0o755)
        if user is not None:
            for folder in (work, top):
                folder.chmod(0o711)
            os.chown(place, user.uid, user.gid)
        return place

    def _start(self, context: Context, place: Path, user: Optional[SlotUser], inside: Optional[Enclosure]) -> Start:
        kept = {name: self.host[name] for name in INHERITED if name in self.host and "@" not in self.host[name]}
        # What commands of communities have set is not for a process that is root still: it comes with the task.
        environment = {"PATH": self.host.get("PATH") or PATH, **kept}
        environment.update({"HOME": str(place), "TMPDIR": str(place), **self.more})
        if user is not None:
            environment.update({"USER": user.name, "LOGNAME": user.name})
        marker = f"PILOTAGE_STEP={context.stamp}-{context.agent}-{place.name}"
        # What runs when the pilot ends anyway has its time as well.
        stopping = context.computing.stopping if context.computing.stopping() is None else lambda: None
        return Start(self.words, context.work, place, environment, marker, user, inside, stopping, context.central.tick)

    def _enclosure(self, context: Context, place: Path) -> Optional[Enclosure]:
        """Holds a step to this agent's memory, where that is known by now, and to the processes of one attempt."""
        if self.enclosures is None:
            return None
        memory = context.fact("memory")
        known = memory // context.agents if isinstance(memory, int) else None
        bounds = Bounds(memory=known, processes=context.settings.max_processes or None)
        try:
            return self.enclosures.enclose(f"step-{place.name}", bounds)
        except OSError as error:
            context.say(f"no control group can be made for a step: {error}")
            return None


def _short(text: str) -> str:
    """What somebody else's code says, in one line that a person reads."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_MESSAGE else line[: LONGEST_MESSAGE - 1] + "…"


def _seen(context: Context) -> Snapshot:
    return Snapshot(
        stamp=context.stamp,
        site=context.site,
        queue=context.queue,
        work=str(context.work),
        settings=context.settings,
        command=context.command,
        communities=context.communities,
        required_tags=context.required_tags,
        agent=context.agent,
        agents=context.agents,
        options={name: dict(values) for name, values in context.options.items()},
        facts=context.facts,
        environment=context.environment,
        provided=context.provided,
    )
