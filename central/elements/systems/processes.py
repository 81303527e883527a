"""Plain processes of a host without a batch system: the kind "ssh".

Each pilot is started in a session of its own, which outlives the connection, under a guard: a shell that passes TERM
on, ends the pilot when its wall time is over, and leaves the exit code where the wrapper could not. Both have the
pilot's folder, and so its stamp, in their command lines.

Tested against Debian 12 (dash, procps 4.0, util-linux 2.38) by OpenSSH 9.2. Needs Linux, setsid, flock, and the ps of
procps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from central.elements.host import Ran
from central.elements.port import ComputingError, Listed, Standing, Trouble
from central.elements.system import Call, Door, Job
from central.elements.systems.ordinary import Ordinary

#: What the list begins with: a login may print what it likes before that.
HEAD = "pilots on:"
#: Seconds between the TERM at the end of the wall time and the KILL.
GRACE = 60

# The scripts come by standard input, since any shell may read what logs in. `here` tells a host, and its last start.
# What pilots run may put anything into their folders, and other users may call their processes anything.
_COMMON = """\
umask 077
here="$(uname -n)/$(cat /proc/sys/kernel/random/boot_id)"
guarded() { # folder: whether its guard lives; $where and $pid are then what it left
    where='' pid=''
    [ -f "$1/started" ] && read -r where pid <"$1/started" && [ "$where" = "$here" ] &&
        tr '\\0' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q -F "$1/guard.sh"
}
"""
# The pilot's folder, its wall time or nothing, and what it has to end after that.
_GUARD = """\
cd "$1" || exit
child='' watch='' signalled=first code=127
trap 'signalled=yes; [ -z "$child" ] || kill -TERM "$child"' TERM
nap() { sleep "$1" & nap=$!; trap 'kill "$nap"; exit' TERM; wait "$nap"; }
"$1/wrapper.sh" >>output 2>&1 & child=$!
if [ -n "$2" ]; then
    { nap "$2"; echo "its wall time of $2 s was over" >why; kill -TERM "$child"
    nap "$3"; echo 137 >exit; kill -KILL 0; } & watch=$!
fi
while [ -n "$signalled" ]; do signalled=''; wait "$child"; now=$?; [ "$now" = 127 ] || code=$now; done
[ -z "$watch" ] || kill "$watch"
[ -e exit ] || { echo "$code" >exit.part && mv exit.part exit; }
"""
# Stamp, folder, wall time or nothing, seconds after that, and the environment as NAME=VALUE. What lives already is not
# started again: an order that was given up may yet be carried out, when the host was slow.
_SUBMIT = f"""\
{_COMMON}\
stamp=$1 folder=$2 limit=$3 grace=$4; shift 4
for program in setsid flock; do command -v $program >/dev/null || {{ echo "there is no $program" >&2; exit 1; }}; done
exec 9>"$folder/lock" && flock 9 || exit
if guarded "$folder"; then echo "$stamp"; exit; fi
cd "$folder" && rm -f exit exit.part why started && cat >guard.sh <<'END OF GUARD' || exit
{_GUARD}\
END OF GUARD
env "$@" setsid sh "$folder/guard.sh" "$folder" "$limit" "$grace" </dev/null >/dev/null 2>&1 9>&- &
echo "$here $!" >started.part && mv started.part started && echo "$stamp"
"""
# The folder of all. A process that just becomes another program has no command line: hence the second look.
_LIST = f"""\
{_COMMON}\
echo "{HEAD}"
cd "$1" || {{ [ ! -d "$1" ]; exit; }}
echo "$here"
find . -mindepth 2 -maxdepth 2 -type f -size -2 '(' -name started -o -name why ')' -exec grep -H '' '{{}}' +
echo
all=$(ps -u "$(id -u)" -ww -o args= && ps -u "$(id -u)" -ww -o args=) || exit
printf '%s\\n' "$all" | grep -F "$1/"
exit 0
"""
# The folder of all, and stamps.
_CANCEL = f"""\
{_COMMON}\
cd "$1" || exit 0
folder=$1; shift
for stamp; do
    if guarded "$folder/$stamp"; then kill -TERM "$pid"; continue; fi
    if [ -n "$where" ] && [ "${{where%/*}}" != "${{here%/*}}" ]; then echo "$stamp ${{where%/*}}"; continue; fi
    all=$(ps -u "$(id -u)" -ww -o pid= -o args=) || exit
    printf '%s\\n' "$all" | grep -F "$folder/$stamp/wrapper.sh" | while read -r pid words; do kill -TERM "$pid"; done
done
exit 0
"""


class Processes(Ordinary):
    """Pilots as processes, with their folders in `folder`; the stamp is the reference as well."""

    lag = 0.0

    def __init__(self, folder: str, door: Door, grace: int = GRACE) -> None:
        super().__init__(door)
        self.folder = folder
        self.grace = grace

    def submit(self, job: Job) -> Call:
        limit = "" if job.request.wall_time is None else str(job.request.wall_time)
        environment = [f"{name}={value}" for name, value in self.door.environment]
        return _script(_SUBMIT, job.stamp, job.folder, limit, str(self.grace), *environment)

    def reference(self, job: Job, ran: Ran) -> str:
        if ran.code or ran.text.split()[-1:] != [job.stamp]:
            raise ComputingError(f"pilot {job.stamp} was not started: {ran.said}", Trouble.UNREACHABLE)
        return job.stamp

    def list_calls(self) -> Sequence[Call]:
        return (_script(_LIST, self.folder),)

    def listed(self, answers: Sequence[Ran]) -> Sequence[Listed]:
        (ran,) = answers
        if ran.code:
            raise ComputingError(f"the processes cannot be listed: {ran.said}", Trouble.UNREACHABLE)
        lines = ran.text.split("\n")
        lines = lines[lines.index(HEAD) + 1 :] if HEAD in lines else ["no list"]
        if lines == [""]:  # there is no folder yet
            return []
        if "" not in lines[1:-1]:
            raise ComputingError(f"the list of processes was cut short: {ran.output[-200:]!r}", Trouble.UNREACHABLE)
        end = lines.index("", 1)
        started, why = _marks(lines[1:end], "started"), _marks(lines[1:end], "why")
        running = self._running(lines[end + 1 :])
        return [
            Listed(stamp, stamp, Standing.RUNNING)
            if stamp in running
            else _not_running(stamp, lines[0], mark.partition(" ")[0], why.get(stamp, ""))
            for stamp, mark in started.items()
        ]

    def _running(self, lines: Iterable[str]) -> set[str]:
        ours = re.compile(re.escape(self.folder) + r"/([0-9a-f]{32})(?:/guard\.sh|/wrapper\.sh|\s|$)")
        return {found[1] for line in lines for found in ours.finditer(line)}

    def cancel(self, references: Sequence[str]) -> Call:
        return _script(_CANCEL, self.folder, *filter(re.compile("[0-9a-f]{32}").fullmatch, references))

    def not_cancelled(self, references: Sequence[str], ran: Ran) -> Mapping[str, ComputingError]:
        if ran.code:
            error = ComputingError(f"pilots were not ended: {ran.said}", Trouble.UNREACHABLE)
            return dict.fromkeys(references, error)
        elsewhere = dict(line.split(" ", 1) for line in ran.text.splitlines() if " " in line)
        return {
            stamp: ComputingError(f"pilot {stamp} runs on {host}, and this is another host", Trouble.UNREACHABLE)
            for stamp, host in elsewhere.items()
        }


def _script(text: str, *words: str) -> Call:
    return Call(("sh", "-s", *words), text.encode())


def _marks(lines: Iterable[str], name: str) -> dict[str, str]:
    """stamp → the first line of the file of that name in its folder."""
    pattern = re.compile(rf"\./([0-9a-f]{{32}})/{name}:(.*)")
    found = [match for line in lines if (match := pattern.fullmatch(line))]
    return {match[1]: "".join(filter(str.isprintable, match[2])) for match in reversed(found)}


def _not_running(stamp: str, here: str, where: str, why: str) -> Listed:
    """What follows when a pilot that was started has no process here. Hosts are NAME/START."""
    host, there = here.partition("/")[0], where.partition("/")[0]
    if host != there:  # several hosts go by one name, and share the folder
        return Listed(stamp, stamp, Standing.UNKNOWN, why=f"it was started on {there}, and this is {host}")
    if here != where:
        why = why or "the host was started anew"
    return Listed(stamp, stamp, Standing.ENDED, why=why)
