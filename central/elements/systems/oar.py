"""OAR: oarsub, oarstat and oardel. Tested against a real OAR 2.5.9 (Debian) with PostgreSQL.

Its list has what waits and runs; what became of a job that left no exit code is in its database. It ends jobs without
notice, and has no word for memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Call, Job
from central.elements.systems import complaints, lists
from central.elements.systems.launch import command
from central.elements.systems.ordinary import Ordinary

#: What GPUs are called where the settings do not say.
GPUS = "gpu"
_STANDINGS = {
    **dict.fromkeys(("Waiting", "Hold", "toAckReservation", "toLaunch"), Standing.QUEUED),
    **dict.fromkeys(("Launching", "Running", "Suspended", "Resuming", "Finishing"), Standing.RUNNING),
    **dict.fromkeys(("Terminated", "Error", "toError"), Standing.ENDED),
}
_COMPLAINTS = (
    (Trouble.UNREACHABLE, r"connect|database|DBI|server is not (running|available)|timed? ?out"),
    (Trouble.FULL, r"quota|too many|max(imum)?( number of| nb)? jobs"),
)
_OVER = re.compile(r"Cannot frag (\d+) ; (This job was already killed|You are not the right user)")
# How an end comes about, which says nothing of why.
_ASKED_TO_END = "FRAG_JOB_REQUEST"
_EVERYDAY = ("SWITCH_INTO_TERMINATE_STATE", "SWITCH_INTO_ERROR_STATE", "SEND_KILL_JOB")


class Oar(Ordinary):
    """Jobs named by their stamps, which a database keeps. None is ever of the type that OAR submits again."""

    def submit(self, job: Job) -> Call:
        argv = ["oarsub", "-n", lists.name(job.stamp), "-d", job.folder, "-O", job.output, "-E", job.output]
        argv += ["-l", self._resources(job.request)]
        argv += self._where("-q", "--project")
        return Call((*argv, *self.door.extra, command(job, self.door.environment)))

    def _resources(self, request: Request) -> str:
        """A path through the resources: of one node, so many GPUs with so many cores beside each."""
        words = "/nodes=1"
        if request.gpus:
            words += f"/{self.door.gpu_resource or GPUS}={request.gpus}"
        if not request.whole_node:
            words += f"/core={-(-request.cores // max(1, request.gpus))}"
        if request.wall_time is not None:
            minutes, seconds = divmod(request.wall_time, 60)
            words += f",walltime={minutes // 60}:{minutes % 60}:{seconds}"
        return words

    def reference(self, job: Job, ran: Ran) -> str:
        found = re.search(r"^OAR_JOB_ID=(\d+)\s*$", ran.text, re.MULTILINE)
        if ran.code == 0 and found:
            return found[1]
        # Some refusals are a number below zero, and no failure.
        raise ComputingError(f"oarsub: {ran.said}", complaints.trouble(ran, _COMPLAINTS))

    def list_calls(self) -> Sequence[Call]:
        return [Call(("oarstat", "-J", "-u"))]

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        jobs = _jobs(lists.answer(answers[0], "oarstat"))
        return lists.one_each(_entry(number, job) for number, job in jobs.items())

    def cancel(self, references: Sequence[str]) -> Call:
        return Call(("oardel", *references))

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        if ran.code == 0:
            return {}
        # Those that the database does not have are said to be another user's.
        over = {found[1] for found in _OVER.finditer(ran.told)}
        over |= set(re.findall(r"job = (\d+) \.\.\.REGISTERED", ran.told))
        return complaints.not_ended("oardel", references, over, ran, _COMPLAINTS)

    def past(self, stamp: str) -> Call:
        return Call(("oarstat", "-J", "-f", "--sql", f"job_name = '{lists.name(stamp)}'"))

    def recalled(self, stamp: str, ran: Ran) -> Listed | None:
        """The newest job of the stamp, where it is over."""
        if ran.code:
            return None
        jobs = {number: job for number, job in _jobs(ran.output).items() if lists.stamp(job.get("name")) == stamp}
        if not jobs:
            return None
        number = max(jobs, key=lambda number: lists.whole(number) or 0)
        entry = _entry(number, jobs[number])
        return entry if entry and entry.standing is Standing.ENDED else None


def _jobs(output: bytes) -> Mapping[str, dict[str, object]]:
    """number → what is told of a job. Where there are none, OAR prints nothing."""
    if not output.strip():
        return {}
    jobs = lists.document(output, "oarstat")
    return {number: job for number, job in jobs.items() if isinstance(job, dict)}


def _entry(number: str, job: Mapping[str, object]) -> Listed | None:
    stamp = lists.stamp(job.get("name"))
    if stamp is None:
        return None
    standing = _STANDINGS.get(str(job.get("state")), Standing.UNKNOWN)
    status = lists.whole(job.get("exit_code"))
    code = lists.exit_code(status) if status is not None and standing is Standing.ENDED else None
    return Listed(stamp, number, standing, code, _why(job))


def _why(job: Mapping[str, object]) -> str:
    """Its state, with what happened to it, or what it waits for."""
    state, events = str(job.get("state")), job.get("events")
    told = [event for event in events if isinstance(event, dict)] if isinstance(events, list) else []
    happened = {str(event.get("type")): str(event.get("description")) for event in told}
    # It is asked to end for each of the other reasons too.
    reasons = [name for name in happened if name not in _EVERYDAY and name != _ASKED_TO_END]
    if not reasons and _ASKED_TO_END in happened:
        reasons = [_ASKED_TO_END]
    words = "; ".join(f"{name}: {happened[name]}" for name in reasons)
    if not words and state == "Waiting":
        words = str(job.get("message"))
    return lists.why(state, words)
