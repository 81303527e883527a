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
from central.elements.system import Call, Door, Job
from central.elements.systems import lists
from central.elements.systems.launch import launch

#: The variable of the job in which the stamp is found. A job's name may have only 15 characters in Torque.
STAMP = "PILOTAGE_STAMP"
_REFERENCE = re.compile(r"\d+(\.[\w.-]+)?")
_REFERENCE_IN = re.compile(r"(?<![\w.-])\d+(?:\.[\w.-]*\w)?")
_STANDINGS = {
    **dict.fromkeys("QHWT", Standing.QUEUED),
    **dict.fromkeys("RESU", Standing.RUNNING),
    **dict.fromkeys("CFX", Standing.ENDED),
}
_TROUBLES = (
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
    stamp: str
    state: str
    status: object
    comment: str


class Family(ABC):
    """What both have in common. Jobs are told to move into their folders themselves, and to print there."""

    #: qsub goes on trying for a while when its central has died.
    lag = 60.0
    shared = True

    def __init__(self, door: Door) -> None:
        self.door = door

    def submit(self, job: Job) -> Call:
        argv = ["qsub", "-N", lists.name(job.stamp)[:15], "-v", f"{STAMP}={job.stamp}", "-r", "n", "-m", "n"]
        argv += ["-S", "/bin/sh", "-j", "oe", "-o", "/dev/null"]
        if self.door.partition:
            argv += ["-q", self.door.partition]
        if self.door.account:
            argv += ["-A", self.door.account]
        for words in self._resources(job.request):
            argv += ["-l", words]
        return Call((*argv, *self.door.extra), launch(job, self.door.environment, into_output=True))

    @abstractmethod
    def _resources(self, request: Request) -> Sequence[str]:
        """What is asked for, each the argument of an option -l."""

    def reference(self, job: Job, ran: Ran) -> str:
        words = ran.output.decode("utf-8", "replace").split()
        if ran.code == 0 and words and _REFERENCE.fullmatch(words[-1]):
            return words[-1]
        raise ComputingError(f"qsub: {ran.said}", _trouble(ran.said))

    @abstractmethod
    def list_calls(self) -> Sequence[Call]: ...

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        return lists.one_each(_listed(told) for told in self._told(lists.answer(answers[0], "qstat")) if told.stamp)

    @abstractmethod
    def _told(self, output: bytes) -> Iterable[Told]:
        """What the list says of all jobs. Raises `ComputingError`."""

    def cancel(self, references: Sequence[str]) -> Call:
        return Call(("qdel", *references))

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        """It complains of each in a line of its own; who is not complained of was ended."""
        if ran.code == 0:
            return {}
        lines = (ran.output + b"\n" + ran.errors).decode("utf-8", "replace").splitlines()
        complaints = {found: line for line in lines for found in _REFERENCE_IN.findall(line)}
        error = ComputingError(f"qdel: {ran.said}", _trouble(ran.said))
        if not complaints:
            return dict.fromkeys(references, error)
        return {
            reference: error
            for reference in references
            if reference in complaints and not _OVER.search(complaints[reference])
        }

    def fetch(self, folder: str, reference: str) -> Call | None:
        return None

    def forget(self, reference: str) -> Call | None:
        return None


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
                state, comment = str(job.get("job_state", "")), str(job.get("comment", ""))
                yield Told(str(reference), _stamp(stamp), state, job.get("Exit_status"), comment)

    def past(self, stamp: str) -> Call:
        return Call(("qselect", "-H", "-N", lists.name(stamp)[:15]))

    def recalled(self, stamp: str, ran: Ran) -> Listed | None:
        """The history says by name that it ended. How would take one more question."""
        words = ran.output.decode("utf-8", "replace").split()
        found = [word for word in words if _REFERENCE.fullmatch(word)]
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
            state, comment = job.findtext("job_state") or "", job.findtext("comment") or ""
            stamp = _stamp(found[1] if found else None)
            yield Told(job.findtext("Job_Id") or "", stamp, state, job.findtext("exit_status"), comment)


def _stamp(value: object) -> str:
    return value if isinstance(value, str) and places.STAMP.fullmatch(value) else ""


def _listed(told: Told) -> Listed:
    standing = _STANDINGS.get(told.state, Standing.UNKNOWN)
    status = lists.whole(told.status) if standing is Standing.ENDED else None
    why = f"{told.state} ({told.comment})" if told.comment else told.state
    if status is not None and status < 0:
        why = f"{why}, ended by PBS with status {status}"
    return Listed(told.stamp, told.reference, standing, _exit_code(status), why[:1000])


def _exit_code(status: int | None) -> int | None:
    """256 + N for signal N; below zero where the system ended it, or never started it."""
    if status is None or status < 0:
        return None
    return 128 + status - 256 if status > 256 else status


def _kilobytes(size: int) -> int:
    return -(-size // 1024)


def _trouble(said: str) -> Trouble:
    return next((trouble for trouble, words in _TROUBLES if re.search(words, said, re.IGNORECASE)), Trouble.REFUSED)
