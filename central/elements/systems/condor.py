"""HTCondor, by condor_submit, condor_q, condor_rm and condor_transfer_data. Tested against a real 23.9.6 and 25.14.1: a
personal pool whose schedd is this host's, and the same schedd spoken to by name with its files spooled, as that of an
HTCondor-CE is. No HTCondor-CE was at hand: what only a CE reads (`xcount`, `maxMemory`, `maxWallTime`, `queue`) is from
its documentation.

Nodes need not see the folder: HTCondor brings script and secret to where it starts them, and brings back what was
printed. A pilot that HTCondor holds will not go on by itself: it counts as ended, and is taken away.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from central.elements.host import Ran
from central.elements.places import STAMP
from central.elements.port import ComputingError, Listed, Request, Standing, Trouble
from central.elements.system import Call, Door, Job
from central.elements.systems import complaints
from central.elements.systems.lists import nonsense, one_each, ours, parsed, whole

#: What is asked of each job.
ATTRIBUTES = (
    *("ClusterId", "ProcId", "Owner", "PilotageStamp", "JobStatus", "ExitCode", "ExitBySignal", "ExitSignal"),
    *("RemoteHost", "HoldReason", "HoldReasonCode", "RemoveReason", "LastRejMatchReason", "EnteredCurrentStatus"),
    *("ServerTime",),
)
_STATUSES = {
    1: ("idle", Standing.QUEUED),
    2: ("running", Standing.RUNNING),
    3: ("removed", Standing.ENDED),
    4: ("completed", Standing.ENDED),
    5: ("held", Standing.ENDED),
    6: ("transferring output", Standing.RUNNING),
    7: ("suspended", Standing.RUNNING),
}
_REMOVED, _COMPLETED, _HELD = 3, 4, 5
#: The code of a hold that ends by itself, when all files have been spooled; seconds after which it will not.
SPOOLING, SPOOLING_ENDS = 16, 900
#: Characters of what HTCondor says of a job.
_WORDS = 600
#: Days for which a completed pilot stays on the list, and hours for which one that was removed does, to be seen there.
_KEPT_DAYS, _KEPT_HOURS = 10, 6
#: Seconds beyond its limit for which a pilot is let run where the schedd is too old to know such limits.
_SLACK = 300
_COMPLAINTS = (
    (Trouble.FULL, r"MAX_JOBS_(PER_OWNER|SUBMITTED|PER_SUBMISSION)|would exceed|rate limit"),
    (Trouble.REFUSED, r"Failed to commit job submission into the queue\.\s+ERROR: "),  # and why, in the site's words
    (Trouble.CREDENTIAL, r"AUTHENTICAT|No auth methods|authoriz|DENIED|credential|certificate"),
    # A schedd that takes no jobs of whoever asks gives no reason.
    (Trouble.CREDENTIAL, r"Cannot allocate a cluster id"),
    (Trouble.UNREACHABLE, r"SECMAN|(can't|cannot) (find|get) address|contact|connect|CEDAR|communicat|timed? ?out"),
    (Trouble.UNREACHABLE, r"no record of schedd|Failed to (commit|spool|fetch)|Read failure|qmgmt|CONDOR_CONFIG"),
)


class Condor:
    """The schedd of the host that its programs are run on, or the one that the door names."""

    #: What a condor_submit had sent when it was ended, a schedd that was busy may take up later.
    lag = 60.0
    shared = False

    def __init__(self, door: Door) -> None:
        self.door = door

    def submit(self, job: Job) -> Call:
        words = ("condor_submit", "-terse", *self._where(), *(["-spool"] if self.door.spool else []))
        lines = (*_fixed(job), *_asked(job.request), *self._asked_here(job.request), *self.door.extra, "queue", "")
        return Call(words, "\n".join(lines).encode())

    def reference(self, job: Job, ran: Ran) -> str:
        found = re.match(r"\s*([0-9]{1,18}\.[0-9]{1,9}) - \1\s*$", ran.text)
        if ran.code == 0 and found:
            return found[1]
        raise complaints.not_taken(f"HTCondor did not take pilot {job.stamp}", ran, _COMPLAINTS)

    def list_calls(self) -> Sequence[Call]:
        # All users': a remote schedd knows us by another name than the one that we ask under. Whose they are is then
        # found out by what they are.
        asked = ("-allusers", "-constraint", "PilotageStamp =!= undefined")
        return (Call(("condor_q", *self._where(), *asked, "-json", "-attributes", ",".join(ATTRIBUTES))),)

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        (ran,) = answers
        if ran.code:
            raise complaints.not_listed("HTCondor did not list its jobs", ran, _COMPLAINTS)
        if not ran.output.strip():  # as it says that there are none
            return ()
        ads = parsed(ran.output, "condor_q")
        if not isinstance(ads, list):
            raise nonsense(ran.output, "condor_q")
        found = ((entry, ad.get("Owner")) for ad in ads if isinstance(ad, dict) and (entry := _entry(ad)))
        return one_each(ours(found))

    def cancel(self, references: Sequence[str]) -> Call:
        return Call(("condor_rm", *self._where(), *references))

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        over = set(re.findall(r"Job (\S+) (?:not found|marked|already marked|removed)", ran.told))
        named = {found[2]: found[1] for found in re.finditer(r"^(.*\bjob (\S+?)\.?)$", ran.told, re.MULTILINE)}
        trouble = complaints.trouble(ran, _COMPLAINTS)
        return {
            reference: ComputingError(
                f"HTCondor did not end job {reference}: {named.get(reference, ran.said)}", trouble
            )
            for reference in references
            if reference not in over and (ran.code or reference in named)
        }

    def fetch(self, folder: str, reference: str) -> Call | None:
        return Call(("condor_transfer_data", *self._where(), reference)) if self.door.spool else None

    def forget(self, reference: str) -> Call | None:
        """A completed or a held job goes by being removed; one that was removed already goes by itself, later."""
        return self.cancel([reference])

    def _where(self) -> Sequence[str]:
        name, pool = self.door.schedd, self.door.pool
        return (*(["-name", name] if name else []), *(["-pool", pool] if pool else []))

    def _asked_here(self, request: Request) -> Iterator[str]:
        """What is asked for in words that not every schedd knows, and what the queue sets."""
        if self.door.account:
            yield f"accounting_group = {self.door.account}"
        if self.door.environment:
            yield f"environment = {_environment(self.door.environment)}"
        if request.whole_node:
            yield "+WantWholeNode = true"
        if self.door.schedd:  # it may be a CE's
            yield f"+xcount = {request.cores}"
            if request.memory is not None:
                yield f"+maxMemory = {_units(request.memory, 1024**2)}"
            if request.wall_time is not None:
                yield f"+maxWallTime = {_units(request.wall_time, 60)}"
        if self.door.partition:
            yield f'+queue = "{self.door.partition}"'


def _fixed(job: Job) -> Sequence[str]:
    """What is the same for each pilot but for its names: started once, brought back, listed until it is forgotten."""
    kept = f"JobStatus == {_COMPLETED} && time() - CompletionDate < {_KEPT_DAYS * 86400}"
    seen = f"JobStatus == {_REMOVED} && time() - EnteredCurrentStatus < {_KEPT_HOURS * 3600}"
    gone = f"LastJobStatus =!= {_COMPLETED} && LastJobStatus =!= {_HELD}"
    # Never undefined: HTCondor holds a job of which it cannot tell.
    again = "(JobStatus == 1 && NumJobStarts > 0) =?= true"
    late = f"(JobStatus == 2 && time() - JobCurrentStartDate > AllowedJobDuration + {_SLACK}) =?= true"
    return (
        "universe = vanilla",
        f"executable = {_plain(job.script)}",
        f"initialdir = {_plain(job.folder)}",
        "transfer_input_files = secret",
        "should_transfer_files = YES",
        "when_to_transfer_output = ON_EXIT",
        'transfer_output_files = ""',
        "output = output",
        "error = output",
        "getenv = false",
        "notification = never",
        f"batch_name = pilot-{job.stamp}",
        f'+PilotageStamp = "{job.stamp}"',
        "max_retries = 0",
        "requirements = (MY.NumJobStarts > 0) =!= true",
        f"periodic_remove = {again} || {late}",
        f"leave_in_queue = ({kept}) || ({seen} && {gone})",
    )


def _asked(request: Request) -> Iterator[str]:
    """What is asked for, in HTCondor's words: MiB, KiB and seconds."""
    yield f"request_cpus = {request.cores}"
    if request.memory is not None:
        yield f"request_memory = {_units(request.memory, 1024**2)}"
    if request.disk is not None:
        yield f"request_disk = {_units(request.disk, 1024)}"
    if request.gpus:
        yield f"request_gpus = {request.gpus}"
    if request.wall_time is not None:
        # As an attribute: a condor_submit that does not know the word still writes it where the pilot reads it.
        yield f"+AllowedJobDuration = {request.wall_time}"


def _units(amount: int, unit: int) -> int:
    return -(-amount // unit)


def _plain(text: str) -> str:
    """A text in which condor_submit finds nothing to expand."""
    return text.replace("$", "$(DOLLAR)")


def _environment(variables: Sequence[tuple[str, str]]) -> str:
    """Variables in the newer of its two ways of writing them: the value in single quotes, all in double ones."""
    words = (f"{name}='{value.replace(chr(39), chr(39) * 2)}'" for name, value in variables)
    return '"' + _plain(" ".join(words)).replace('"', '""') + '"'


def _entry(ad: Mapping[str, object]) -> Listed | None:
    """A job of the list; None for one that is none of ours."""
    stamp, cluster, process = ad.get("PilotageStamp"), whole(ad.get("ClusterId")), whole(ad.get("ProcId"))
    if not isinstance(stamp, str) or not STAMP.fullmatch(stamp) or cluster is None or process is None:
        return None
    status = whole(ad.get("JobStatus"))
    word, standing = _STATUSES.get(status or 0, (f"status {ad.get('JobStatus')}", Standing.UNKNOWN))
    if status == _HELD and _spooling(ad):
        standing = Standing.QUEUED
    if status == _REMOVED and ad.get("RemoteHost"):  # it has been told to end, and has not yet
        standing = Standing.RUNNING
    code = _exit_code(ad) if status == _COMPLETED else None
    return Listed(stamp, f"{cluster}.{process}", standing, code, _why(word, ad))


def _spooling(ad: Mapping[str, object]) -> bool:
    """Whether its files are on their way; where that takes too long, whoever sent them has died."""
    since = (whole(ad.get("ServerTime")) or 0) - (whole(ad.get("EnteredCurrentStatus")) or 0)
    return whole(ad.get("HoldReasonCode")) == SPOOLING and since < SPOOLING_ENDS


def _exit_code(ad: Mapping[str, object]) -> int | None:
    """128 + N where signal N ended it, as a shell says it."""
    if ad.get("ExitBySignal") is True:
        signal = whole(ad.get("ExitSignal"))
        return None if signal is None else 128 + signal
    return whole(ad.get("ExitCode"))


def _why(word: str, ad: Mapping[str, object]) -> str:
    names = ("RemoveReason", "HoldReason") if word != "idle" else ("LastRejMatchReason",)
    reasons = (ad.get(name) for name in names)
    said = (reason.strip() for reason in reasons if isinstance(reason, str))
    return ": ".join((word, *filter(None, said)))[:_WORDS]
