"""PBS Professional and OpenPBS, and Torque, which parted from them long ago: qsub, qstat, qdel.

Written from documentation, of PBS Professional 2022.1, OpenPBS 23.06 and Torque 6.1; no server was at hand, nothing of
this has run against one. They share their programs' names, and differ in how resources are asked for and jobs listed.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from central.elements import places
from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Call, Job
from central.elements.systems import complaints, lists
from central.elements.systems.launch import launch
from central.elements.systems.ordinary import Ordinary

#: The variable of the job in which the stamp is found. A job's name may have only 15 characters in Torque.
STAMP = "PILOTAGE_STAMP"
_REFERENCE = re.compile(r"\d+(\.[\w.-]+)?")
_REFERENCE_IN = re.compile(r"(?<![\w.-])\d+(?:\.[\w.-]*\w)?")
_STANDINGS = {
    **dict.fromkeys("QHWT", Standing.QUEUED),
    **dict.fromkeys("RESU", Standing.RUNNING),
    **dict.fromkeys("CFX", Standing.ENDED),
}
_COMPLAINTS = (
    (
        Trouble.UNREACHABLE,
        r"cannot connect|connection refused|timed? ?out|no route|end of file|server .*shutting",
    ),
    (Trouble.FULL, r"maximum number of jobs|would exceed .*limit|exceeds? .*(max_?queu|max_?user_?queu|limit on jobs)"),
    (Trouble.CREDENTIAL, r"munge|authenticat|credential|bad uid|invalid credential"),
)
_OVER = re.compile(r"unknown job id|job has finished|invalid state|request invalid for state", re.IGNORECASE)


@dataclass(frozen=True)
class Told:
    """What a list says of a job, as it writes it."""

    reference: str
    owner: str
    stamp: str
    state: str
    status: object
    comment: str


class Family(Ordinary, ABC):
    """What both have in common. Jobs are told to move into their folders themselves, and to print there."""

    def submit(self, job: Job) -> Call:
        argv = ["qsub", "-N", lists.name(job.stamp)[:15], "-v", f"{STAMP}={job.stamp}", "-r", "n", "-m", "n"]
        argv += ["-S", "/bin/sh", "-j", "oe", "-o", "/dev/null"]
        argv += self._where("-q", "-A")
        for words in self._resources(job.request):
            argv += ["-l", words]
        return Call((*argv, *self.door.extra), launch(job, self.door.environment, into_output=True))

    @abstractmethod
    def _resources(self, request: Request) -> Sequence[str]:
        """What is asked for, each the argument of an option -l."""

    def reference(self, job: Job, ran: Ran) -> str:
        words = ran.text.split()
        if ran.code == 0 and words and _REFERENCE.fullmatch(words[-1]):
            return words[-1]
        raise complaints.not_taken("qsub", ran, _COMPLAINTS)

    @abstractmethod
    def list_calls(self) -> Sequence[Call]: ...

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        jobs = self._told(lists.answer(answers[0], "qstat"))
        return lists.one_each(lists.ours((_listed(told), told.owner) for told in jobs if told.stamp))

    @abstractmethod
    def _told(self, output: bytes) -> Iterable[Told]:
        """What the list says of all jobs. Raises `ComputingError`."""

    def cancel(self, references: Sequence[str]) -> Call:
        return Call(("qdel", *references))

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        """It complains of each in a line of its own; who is not complained of was ended."""
        if ran.code == 0:
            return {}
        named = {found: line for line in ran.told.splitlines() for found in _REFERENCE_IN.findall(line)}
        over = [each for each in references if named and (each not in named or _OVER.search(named[each]))]
        return complaints.not_ended("qdel", references, over, ran, _COMPLAINTS)


class Pbs(Family):
    """PBS Professional and OpenPBS. Ended jobs are in its history, which is asked one by one: whole it may be huge."""

    def _resources(self, request: Request) -> Sequence[str]:
        chunk = f"select=1:ncpus={request.cores}"
        if request.memory is not None:
            chunk += f":mem={_kilobytes(request.memory)}kb"
        if request.gpus:
            chunk += f":ngpus={request.gpus}"
        place = "place=pack:exclhost" if request.whole_node else "place=pack"
        limit = [f"walltime={request.wall_time}"] if request.wall_time is not None else []
        return [chunk, place, *limit]

    def list_calls(self) -> Sequence[Call]:
        return [Call(("qstat", "-f", "-F", "json"))]

    def _told(self, output: bytes) -> Iterable[Told]:
        jobs = lists.document(output, "qstat").get("Jobs", {})
        if not isinstance(jobs, dict):
            raise lists.nonsense(output, "qstat")
        for reference, job in jobs.items():
            if isinstance(job, dict):
                variables = job.get("Variable_List")
                stamp = variables.get(STAMP) if isinstance(variables, dict) else None
                owner, state = _user(str(job.get("Job_Owner", ""))), str(job.get("job_state", ""))
                status, comment = job.get("Exit_status"), str(job.get("comment", ""))
                yield Told(str(reference), owner, _stamp(stamp), state, status, comment)

    def past(self, stamp: str) -> Call:
        return Call(("qselect", "-H", "-N", lists.name(stamp)[:15]))

    def recalled(self, stamp: str, ran: Ran) -> Listed | None:
        """The history says by name that it ended. How would take one more question."""
        found = [word for word in ran.text.split() if _REFERENCE.fullmatch(word)]
        if ran.code or not found:
            return None
        return Listed(stamp, found[-1], Standing.ENDED, why=f"finished (qstat -x -f {found[-1]} says how)")


class Torque(Family):
    """Torque. Ended jobs are listed for as long as its server's keep_completed says; 0 leaves nothing to find."""

    def _resources(self, request: Request) -> Sequence[str]:
        node = f"nodes=1:ppn={request.cores}" + (f":gpus={request.gpus}" if request.gpus else "")
        memory = [f"mem={_kilobytes(request.memory)}kb"] if request.memory is not None else []
        limit = [f"walltime={request.wall_time}"] if request.wall_time is not None else []
        alone = ["naccesspolicy=singlejob"] if request.whole_node else []
        return [node, *memory, *limit, *alone]

    def list_calls(self) -> Sequence[Call]:
        return [Call(("qstat", "-f", "-x"))]

    def _told(self, output: bytes) -> Iterable[Told]:
        if not output.strip():  # without jobs it prints nothing
            return
        for job in lists.tree(output, "qstat", "Data").iter("Job"):
            found = re.search(rf"(?:^|,){STAMP}=([0-9a-f]+)(?:,|$)", job.findtext("Variable_List") or "")
            reference, owner = job.findtext("Job_Id") or "", _user(job.findtext("Job_Owner") or "")
            state, comment = job.findtext("job_state") or "", job.findtext("comment") or ""
            stamp = _stamp(found[1] if found else None)
            yield Told(reference, owner, stamp, state, job.findtext("exit_status"), comment)


def _user(owner: str) -> str:
    """Without the host, since a host may have several names."""
    return owner.partition("@")[0]


def _stamp(value: object) -> str:
    return value if isinstance(value, str) and places.STAMP.fullmatch(value) else ""


def _listed(told: Told) -> Listed:
    standing = _STANDINGS.get(told.state, Standing.UNKNOWN)
    status = lists.whole(told.status) if standing is Standing.ENDED else None
    why = lists.why(told.state, told.comment)
    if status is not None and status < 0:
        why = f"{why}, ended by PBS with status {status}"
    return Listed(told.stamp, told.reference, standing, _exit_code(status), why)


def _exit_code(status: int | None) -> int | None:
    """256 + N for signal N; below zero where the system ended it, or never started it."""
    if status is None or status < 0:
        return None
    return 128 + status - 256 if status > 256 else status


def _kilobytes(size: int) -> int:
    return -(-size // 1024)
