"""The folders of pilots on a submit host: how they are made and read there by a shell with fixed scripts."""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Mapping

from central.elements.port import ComputingError, Submission, Trouble
from central.elements.system import Call

#: What tells a pilot apart, as directors make it.
STAMP = re.compile(r"[0-9a-f]{32}")
_CODE = re.compile(r"[0-9]{1,5}")
#: Bytes of output handed out.
OUTPUT_BOUND = 1024 * 1024

#: What a list begins with: a login may print what it likes before that.
HEAD = "folders of pilots:"

# $1 is the folder in each. Nothing else of ours is in these words. What jobs may write is read where it is small.
# Who could rename what is in the folder of all could have us run another script.
_FILL = (
    'umask 077; mkdir -p "$1" || exit; '
    'ours=$(find -H "$1" -prune "(" -user "$(id -u)" -o -user 0 ")" ! "(" -perm -002 ! -perm -1000 ")") || exit; '
    '[ -n "$ours" ] || { echo "$1 is another user\'s, or all may write to it: expected one of our own" >&2; exit 1; }; '
    'exec tar -x -p -f - -C "$1"'
)
_LIST = (
    f'echo "{HEAD}"; '
    'cd "$1" || { [ ! -d "$1" ]; exit; }; ls || exit; echo;'
    ' find . -mindepth 2 -maxdepth 2 -name exit -type f -size -2 -exec grep -H "" {} +; exit 0'
)
# What a pilot runs may put a link there, to what it cannot read itself and we can. What was opened is looked at, by its
# name, so that it cannot be another one by then.
_TAIL = (
    '[ ! -L "$1" ] && [ ! -L "$1/output" ] || { echo "it is a link" >&2; exit 1; }; '
    '[ -f "$1/output" ] || exit 0; exec <"$1/output"; cd -P "${1%/*}" || exit; '
    '[ ! -d /proc/self/fd ] || [ "$(readlink /proc/self/fd/0)" = "$(pwd -P)/${1##*/}/output" ] || '
    '{ echo "it is not in its folder" >&2; exit 1; }; '
    f"exec tail -c {OUTPUT_BOUND}"
)


def fill(folder: str, submissions: Iterable[Submission]) -> Call:
    """Lay a folder out for each submission, for its owner alone: `wrapper.sh` and, mode 0600, `secret`.

    They travel through standard input, so that no secret is in an argument.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for submission in submissions:
            place = tarfile.TarInfo(submission.stamp)
            place.type, place.mode = tarfile.DIRTYPE, 0o700
            tar.addfile(place)
            _add(tar, f"{submission.stamp}/wrapper.sh", submission.script, 0o700)
            _add(tar, f"{submission.stamp}/secret", submission.secret, 0o600)
    return _script(_FILL, folder, archive.getvalue())


def list_all(folder: str) -> Call:
    """Name the pilots that have a folder, and the exit codes that their wrappers have left."""
    return _script(_LIST, folder)


def listed(output: bytes) -> Mapping[str, int | None]:
    """stamp → exit code of each folder, None for a wrapper that has left none. Raises `ComputingError`."""
    lines = output.decode("utf-8", "replace").split("\n")
    lines = lines[lines.index(HEAD) + 1 :] if HEAD in lines else ["no list"]
    if lines == [""]:  # there is no folder yet
        return {}
    if "" not in lines[:-1]:
        raise ComputingError(f"the folders of pilots could not be listed: {output[:200]!r}", Trouble.UNREACHABLE)
    end = lines.index("")
    found: dict[str, int | None] = dict.fromkeys(filter(STAMP.fullmatch, lines[:end]))
    for line in lines[end + 1 :]:
        path, _, code = line.partition(":")
        stamp = path.removeprefix("./").partition("/")[0]
        if stamp in found and _CODE.fullmatch(code):
            found[stamp] = int(code)
    return found


def tail(folder: str) -> Call:
    """The end of what a pilot printed, given its folder; nothing where there is no such file. A link is refused."""
    return _script(_TAIL, folder)


def remove(folder: str, stamp: str) -> Call:
    """Take a pilot's folder away."""
    return Call(("rm", "-rf", f"{folder}/{stamp}"))


def _script(text: str, folder: str, stdin: bytes = b"") -> Call:
    return Call(("sh", "-c", text, "sh", folder), stdin)


def _add(tar: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    content = text.encode()
    file = tarfile.TarInfo(name)
    file.size, file.mode = len(content), mode
    tar.addfile(file, io.BytesIO(content))
