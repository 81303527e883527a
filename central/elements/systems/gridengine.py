"""Grid Engine and its descendants: qsub, qstat, qdel, and qacct for how a job was ended.

Tested against a real Son of Grid Engine 8.1.9 (Debian). Its relatives (Univa, Altair, Open Cluster Scheduler) have the
same programs, options and lists by their documentation; they were not tried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Call, Job
from central.elements.systems import complaints, lists
from central.elements.systems.launch import launch
from central.elements.systems.ordinary import Ordinary

#: What the limit on memory is called where the settings do not say. It is one for each slot.
MEMORY = "h_vmem"
#: What GPUs are called where the settings do not say.
GPUS = "gpu"

_COMPLAINTS = (
    (Trouble.UNREACHABLE, r"commlib error|unable to (contact|send message to)|got send (error|timeout)|time ?out"),
    (Trouble.FULL, r"jobs? (are|is) allowed per"),
    (Trouble.CREDENTIAL, r"authenticat|credential|certificate|munge"),
)
_OVER = re.compile(r"does not exist|registered the job|has deleted job|already in deletion")
# Letters of a job's state that it helps to know.
_STATES = {"E": "in error", "h": "held", "s": "suspended", "S": "suspended", "T": "suspended", "d": "being deleted"}


class GridEngine(Ordinary):
    """Jobs named by their stamps. A job in the state of error counts as ended, and is taken off the list when its pilot
    is forgotten: it would wait until an administrator clears it."""

    def submit(self, job: Job) -> Call:
        # -notify: SIGUSR2 comes before SIGKILL. -S: else the queue's shell reads the script, which may be a C shell.
        argv = ["qsub", "-terse", "-r", "n", "-notify", "-N", lists.name(job.stamp), "-S", "/bin/sh"]
        argv += ["-wd", job.folder, "-j", "y", "-o", job.output]
        argv += self._where("-q", "-P")
        if job.request.cores > 1:
            argv += ["-pe", self._parallel(job.request), str(job.request.cores)]
        if asked := self._resources(job.request):
            argv += ["-l", ",".join(asked)]
        return Call((*argv, *self.door.extra), launch(job, self.door.environment))

    def _parallel(self, request: Request) -> str:
        if not self.door.parallel_environment:
            raise ComputingError(
                f"Grid Engine gives {request.cores} cores only in a parallel environment, and the queue's settings name"
                " none: set batch.parallel_environment to one that keeps a job on one host (qconf -spl lists them)",
                Trouble.REFUSED,
            )
        return self.door.parallel_environment

    def _resources(self, request: Request) -> list[str]:
        asked = []
        if request.memory is not None:
            each = -(-request.memory // request.cores)
            asked.append(f"{self.door.memory_resource or MEMORY}={each}")
        if request.wall_time is not None:
            asked.append(f"h_rt={request.wall_time}")
        if request.gpus:
            asked.append(f"{self.door.gpu_resource or GPUS}={request.gpus}")
        if request.whole_node:
            asked.append("exclusive=true")
        return asked

    def reference(self, job: Job, ran: Ran) -> str:
        numbers = [word for word in ran.text.split() if word.isdecimal()]
        if ran.code == 0 and numbers:
            return numbers[-1]
        raise complaints.not_taken("qsub", ran, _COMPLAINTS)

    def list_calls(self) -> Sequence[Call]:
        # z: those that ended not long ago. $user is a word of qstat itself.
        return [Call(("qstat", "-xml", "-r", "-s", "prsz", "-u", "$user"))]

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        tree = lists.tree(lists.answer(answers[0], "qstat"), "qstat", "job_info")
        return lists.one_each(map(_entry, tree.iter("job_list")))

    def cancel(self, references: Sequence[str]) -> Call:
        return Call(("qdel", *references))

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        if ran.code == 0:
            return {}
        over = {word for line in ran.told.splitlines() if _OVER.search(line) for word in re.findall(r"\d+", line)}
        return complaints.not_ended("qdel", references, over, ran, _COMPLAINTS)

    def forget(self, reference: str) -> Call | None:
        return Call(("qdel", reference))

    def past(self, stamp: str) -> Call:
        return Call(("qacct", "-j", lists.name(stamp)))

    def recalled(self, stamp: str, ran: Ran) -> Listed | None:
        """From the newest of the records of that name."""
        if ran.code:
            return None
        text = ran.text.rpartition("=====\n")[2]
        pairs = (line.partition(" ") for line in text.splitlines())
        told = {name: value.strip() for name, _, value in pairs}
        if told.get("jobname") != lists.name(stamp):
            return None
        failed, _, why = (part.strip() for part in told.get("failed", "0").partition(":"))
        code = lists.whole(told.get("exit_status", "").partition(" ")[0])
        return Listed(stamp, told.get("jobnumber", ""), Standing.ENDED, code, _failure(failed, why))


def _failure(code: str, words: str) -> str:
    """Grid Engine's word on what went wrong with a job, empty where nothing did."""
    return "" if code == "0" else f"failed {code}: {words}"


def _entry(job: ElementTree.Element) -> Listed | None:
    stamp = lists.stamp(job.findtext("full_job_name") or job.findtext("JB_name"))
    if stamp is None:
        return None
    state = job.findtext("state") or ""
    words = dict.fromkeys(word for letter, word in _STATES.items() if letter in state)
    why = lists.why(state, ", ".join(words)) if state != "z" else ""
    return Listed(stamp, job.findtext("JB_job_number") or "", _standing(state), why=why)


def _standing(state: str) -> Standing:
    """``qw``, ``hqw``, ``r``, ``t``, ``dr``, ``Rr``, ``Eqw``, ``z`` and the like."""
    if "z" in state or "E" in state:
        return Standing.ENDED
    if "q" in state or "w" in state:
        return Standing.QUEUED
    return Standing.RUNNING if set(state) & set("rtsSTR") else Standing.UNKNOWN
