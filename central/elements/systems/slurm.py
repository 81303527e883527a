"""Slurm, by sbatch, squeue and scancel. Tested against a real 22.05.8, with and without accounting.

The list is asked for in columns of a fixed width, which every version has. `squeue --json` of 22.05 and older leaves no
job of the cluster out, whoever asks for whose, and later versions changed what it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from central.elements.host import Ran
from central.elements.places import STAMP
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Call, Job
from central.elements.systems import complaints, lists
from central.elements.systems.launch import command
from central.elements.systems.ordinary import Ordinary

#: What is asked of each job, and the width of its column. The stamp is the name, and others' names may be anything.
COLUMNS = {"JobID": 24, "State": 24, "exit_code": 12, "Reason": 100, "Name": 40}
_STANDINGS = {
    Standing.QUEUED: (
        *("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD"),
        *("RESV_DEL_HOLD", "SPECIAL_EXIT", "POWER_UP_NODE"),
    ),
    Standing.RUNNING: (
        *("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING", "EXPEDITING"),
    ),
    Standing.ENDED: (
        *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED"),
        *("BOOT_FAIL", "DEADLINE", "LAUNCH_FAILED", "RECONFIG_FAIL", "REVOKED"),
    ),
}
STANDINGS = {word: standing for standing, words in _STANDINGS.items() for word in words}
_COMPLAINTS = (
    (Trouble.FULL, r"(Max|Grp)SubmitJobs?|temporarily unable to accept job|Resource temporarily unavailable"),
    (Trouble.CREDENTIAL, r"munge|authentication|Invalid auth|credential"),
    (
        Trouble.UNREACHABLE,
        r"Unable to (contact|establish)|timed out|Connection refused|connection failure|not connected",
    ),
    (Trouble.UNREACHABLE, r"Zero Bytes were transmitted|standby mode|No route to host|Message (send|receive) failure"),
    (Trouble.UNREACHABLE, r"configuration (source|file)"),
    (Trouble.REFUSED, r"(Assoc|QOS)\w+Limit"),
    # Where none of these limits was named, that of the number of jobs is the one that passes.
    (Trouble.FULL, r"violates accounting/QOS policy \(job submit limit"),
)
_WHOLE = re.compile(r"[0-9]{1,20}")
#: How a line of the list begins: the number of a job, of one of an array, or of one of several that start together.
_NUMBER = re.compile(r"[0-9]+(_\S+|\+[0-9]+)? ")
#: The last line of what accounting says, as `44|CANCELLED by 1003|0:9`: exit code and signal.
_REMEMBERED = re.compile(
    r"(?P<number>[0-9]+)\|(?P<state>\w+)(?P<more>[^|]*)\|(?P<code>[0-9]{1,9}):(?P<signal>[0-9]{1,9})"
)
_NOT_CANCELLED = re.compile(r"error on job id (\d+)(?:_\S+)?: (.+)")
_OVER = re.compile(r"Invalid job id|already completing or completed", re.IGNORECASE)


class Slurm(Ordinary):
    """The Slurm of the host that its programs are run on."""

    def submit(self, job: Job) -> Call:
        """The script stays in its folder: what is given to sbatch, Slurm and its database keep and show to others."""
        # Else what sbatch exports would also be all that a payload's own srun does.
        run = command(job, (("SLURM_EXPORT_ENV", "ALL"), *self.door.environment))
        return Call(
            (
                *("sbatch", "--parsable", "--no-requeue", "--export=NONE", "--propagate=NONE"),
                *(f"--job-name={job.stamp}", f"--chdir={job.folder}", f"--output={job.output}"),
                *_asked(job.request),
                *([f"--partition={self.door.partition}"] if self.door.partition else []),
                *([f"--account={self.door.account}"] if self.door.account else []),
                *(f"--wrap={run}", *self.door.extra),
            )
        )

    def reference(self, job: Job, ran: Ran) -> str:
        number = ran.text.strip().partition(";")[0]  # a cluster's name may follow
        if ran.code == 0 and _WHOLE.fullmatch(number):
            return number
        raise complaints.not_taken(f"Slurm did not take pilot {job.stamp}", ran, _COMPLAINTS)

    def list_calls(self) -> Sequence[Call]:
        columns = ",".join(f"{name}:{width}" for name, width in COLUMNS.items())
        return (Call(("squeue", "--me", "--states=all", "--noheader", f"--Format={columns}")),)

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        (ran,) = answers
        if ran.code:
            raise complaints.not_listed("Slurm did not list its jobs", ran, _COMPLAINTS)
        lines = ran.text.splitlines()
        if lines and not any(map(_NUMBER.match, lines)):
            raise lists.nonsense(ran.output, "squeue")
        return lists.one_each(map(_entry, lines))

    def cancel(self, references: Sequence[str]) -> Call:
        return Call(("scancel", *references))

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        if ran.code == 0:
            return {}
        told = dict(_NOT_CANCELLED.findall(ran.errors.decode("utf-8", "replace")))
        failed = [reference for reference in references if reference in told or not told]
        trouble = complaints.trouble(ran, _COMPLAINTS)
        return {
            reference: ComputingError(f"Slurm did not end job {reference}: {why}", trouble)
            for reference in failed
            if not _OVER.search(why := told.get(reference, ran.said))
        }

    def past(self, stamp: str) -> Call:
        """The controller forgets a job minutes after its end; its accounting, where there is one, does not."""
        asked = ("--parsable2", "--noheader", "--allocations", "--format=JobIDRaw,State,ExitCode")
        return Call(("sacct", *asked, f"--name={stamp}", "--starttime=now-7days"))

    def recalled(self, stamp: str, ran: Ran) -> Listed | None:
        """One that has not ended there is none: what accounting was not told the end of runs there for ever."""
        lines = ran.text.splitlines()
        found = _REMEMBERED.fullmatch(lines[-1]) if lines and not ran.code else None
        if not found or STANDINGS.get(found["state"]) is not Standing.ENDED:
            return None
        code = _exit_code(found["state"], int(found["code"]), int(found["signal"]))
        return Listed(stamp, found["number"], Standing.ENDED, code, found["state"] + found["more"])


def _asked(request: Request) -> Sequence[str]:
    """What is asked for, in Slurm's words: MiB and minutes, rounded up."""
    asked = ["--nodes=1", "--ntasks=1", "--exclusive" if request.whole_node else f"--cpus-per-task={request.cores}"]
    if request.memory is not None:
        asked.append(f"--mem={-(-request.memory // 1024**2)}M")
    elif request.whole_node:
        asked.append("--mem=0")  # all of the node's
    if request.gpus:
        asked.append(f"--gres=gpu:{request.gpus}")
    if request.wall_time is not None:
        asked.append(f"--time={-(-request.wall_time // 60)}")
    return asked


def _entry(line: str) -> Listed | None:
    """A line of the list; None for a job that is none of ours."""
    values, rest = [], line
    for width in COLUMNS.values():
        values.append(rest[:width].strip())
        rest = rest[width:]
    number, state, status, reason, name = values
    if not STAMP.fullmatch(name) or not _WHOLE.fullmatch(number):
        return None
    standing = STANDINGS.get(state, Standing.UNKNOWN)
    told = standing is Standing.ENDED and _WHOLE.fullmatch(status)
    code = _exit_code(state, *divmod(int(status), 256)) if told else None
    return Listed(name, number, standing, code, lists.why(state, reason if reason != "None" else ""))


def _exit_code(state: str, code: int, signal: int) -> int | None:
    """As a shell says it: 128 + N where signal N ended it. A zero of what did not end by itself says nothing, and where
    there are both it is an error of Slurm's own."""
    if code and signal:
        return None
    if signal:
        return 128 + signal % 128  # else with the bit that says that a core was dumped
    return code if code or state == "COMPLETED" else None
