"""IBM Spectrum LSF: bsub, bjobs and bkill.

Written from documentation, of LSF 10.1 with fix pack 4 or newer (bjobs -json, units of memory); no server was at hand,
nothing of this has run against one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Call, Job
from central.elements.systems import complaints, lists
from central.elements.systems.launch import launch
from central.elements.systems.ordinary import Ordinary

_FIELDS = "jobid job_name stat exit_code exit_reason pend_reason"
_STANDINGS = {
    **dict.fromkeys(("PEND", "PROV", "PSUSP", "WAIT"), Standing.QUEUED),
    **dict.fromkeys(("RUN", "USUSP", "SSUSP"), Standing.RUNNING),
    **dict.fromkeys(("DONE", "EXIT"), Standing.ENDED),
}
_COMPLAINTS = (
    (
        Trouble.UNREACHABLE,
        r"LSF is down|cannot connect|not responding|timed? ?out|communication|batch daemon|LIM",
    ),
    (Trouble.FULL, r"(job|slot) limit|threshold reached|maximum number of (pending )?jobs"),
    (Trouble.CREDENTIAL, r"permission denied|authenticat|credential|bad user"),
)
_NOTHING = re.compile(r"no (unfinished )?job found", re.IGNORECASE)
_OVER = re.compile(r"is being terminated|no matching job|already finished|is being signaled", re.IGNORECASE)


class Lsf(Ordinary):
    """Jobs named by their stamps, which never run again. Ended ones are listed for an hour, if the site does not say
    otherwise (CLEAN_PERIOD)."""

    def submit(self, job: Job) -> Call:
        # -env none: else all of the submitter's environment goes along. -o: else the report comes by mail.
        argv = ["bsub", "-J", lists.name(job.stamp), "-rn", "-env", "none", "-o", "/dev/null"]
        argv += self._where("-q", "-P")
        argv += self._resources(job.request)
        return Call((*argv, *self.door.extra), launch(job, self.door.environment, into_output=True))

    def _resources(self, request: Request) -> list[str]:
        argv = ["-n", str(request.cores), "-R", "span[hosts=1]"]
        if request.memory is not None:
            megabytes = -(-request.memory // 1024**2)
            argv += ["-M", f"{megabytes}MB", "-R", f"rusage[mem={megabytes}MB]"]
        if request.wall_time is not None:
            argv += ["-W", str(-(-request.wall_time // 60))]
        if request.gpus:
            argv += ["-gpu", f"num={request.gpus}"]
        return [*argv, "-x"] if request.whole_node else argv

    def reference(self, job: Job, ran: Ran) -> str:
        found = re.search(rb"Job <(\d+)> is submitted", ran.output)
        if ran.code == 0 and found:
            return found[1].decode()
        raise complaints.not_taken("bsub", ran, _COMPLAINTS)

    def list_calls(self) -> Sequence[Call]:
        return [Call(("bjobs", "-a", "-o", _FIELDS, "-json"))]

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        ran = answers[0]
        if _NOTHING.search(ran.said) and not ran.output.strip().startswith(b"{"):
            return []
        document = lists.document(lists.answer(ran, "bjobs"), "bjobs")
        records = document.get("RECORDS")
        if not isinstance(records, list):
            raise lists.nonsense(ran.output, "bjobs")
        return lists.one_each(_entry(record) for record in records if isinstance(record, dict))

    def cancel(self, references: Sequence[str]) -> Call:
        return Call(("bkill", *references))

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        if ran.code == 0:
            return {}
        over = {
            found for line in ran.told.splitlines() if _OVER.search(line) for found in re.findall(r"Job <(\d+)>", line)
        }
        return complaints.not_ended("bkill", references, over, ran, _COMPLAINTS)


def _entry(record: Mapping[str, object]) -> Listed | None:
    stamp = lists.stamp(record.get("JOB_NAME"))
    if stamp is None:
        return None
    state = str(record.get("STAT", ""))
    standing = _STANDINGS.get(state, Standing.UNKNOWN)
    code = None
    if standing is Standing.ENDED:
        code = 0 if state == "DONE" else lists.whole(record.get("EXIT_CODE"))
    reason = record.get("EXIT_REASON" if standing is Standing.ENDED else "PEND_REASON")
    why = lists.why(state, str(reason) if reason and reason != "-" else "")
    return Listed(stamp, str(record.get("JOBID", "")), standing, code, why)
