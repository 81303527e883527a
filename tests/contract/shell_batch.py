"""A batch system of real processes, kept by a page of shell. Its jobs do not see the folders of pilots.

It brings script and secret to a folder of its own, as HTCondor and grid sites do; there a job is until it is taken off
the list. A job's number is the process that leads its session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Standing, Trouble
from central.elements.system import Call, Door, Job

_KEEPER = """
verb=$1 spool=$2; shift 2
place_of() { grep -l -x "$1" "$spool"/*/number 2>/dev/null | sed 's|/number$||'; }
submit() { # stamp, folder, cores, NAME=VALUE ...
    stamp=$1 folder=$2 cores=$3; shift 3
    [ "$cores" -le 64 ] || { echo "$cores cores were asked for, and there are 64" >&2; exit 3; }
    place=$spool/$stamp
    rm -rf "$place" && mkdir -p "$place" && cp -p "$folder/wrapper.sh" "$folder/secret" "$place" && cd "$place" || exit
    setsid sh -c '
        env "$@" ./wrapper.sh >output 2>&1 & child=$!
        trap "signalled=yes; kill $child" TERM; signalled=first code=127
        while [ "$signalled" ]; do signalled=; wait "$child"; now=$?; [ "$now" = 127 ] || code=$now; done
        echo "$code" >code' sh "$@" </dev/null >/dev/null 2>&1 &
    echo $! >number
    cat number
}
list() {
    for place in "$spool"/*/; do
        [ -f "$place/number" ] || continue
        number=$(cat "$place/number") state=ended
        kill -0 "$number" 2>/dev/null && state=running
        echo "$(basename "$place") $number $state $(cat "$place/code" 2>/dev/null)"
    done
}
cancel() { for number; do [ -z "$(place_of "$number")" ] || kill "$number" 2>/dev/null; done; true; }
fetch() { cp "$(place_of "$1")/output" "$2/output"; }
forget() { rm -rf "$(place_of "$1")"; }
$verb "$@"
"""


class ShellBatch:
    """Keeps its jobs in `spool`, and takes none of more than 64 cores."""

    lag = 0.0
    shared = False

    def __init__(self, spool: Path, door: Door) -> None:
        self.spool = spool
        self.door = door

    def submit(self, job: Job) -> Call:
        words = [f"{name}={value}" for name, value in self.door.environment]
        return self._keeper("submit", job.stamp, job.folder, str(job.request.cores), *words)

    def reference(self, job: Job, ran: Ran) -> str:
        if ran.code:
            raise ComputingError(f"pilot {job.stamp} was not taken: {ran.said}", Trouble.REFUSED)
        return ran.output.decode().strip()

    def list_calls(self) -> Sequence[Call]:
        return (self._keeper("list"),)

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        rows = [line.split(" ") for line in answers[0].output.decode().splitlines()]
        return [
            Listed(stamp, number, Standing(state), int(code) if code else None) for stamp, number, state, code in rows
        ]

    def cancel(self, references: Sequence[str]) -> Call:
        return self._keeper("cancel", *references)

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        return {}

    def fetch(self, folder: str, reference: str) -> Call | None:
        return self._keeper("fetch", reference, folder)

    def forget(self, reference: str) -> Call | None:
        return self._keeper("forget", reference)

    def _keeper(self, verb: str, *words: str) -> Call:
        return Call(("sh", "-c", _KEEPER, "keeper", verb, str(self.spool), *words))
