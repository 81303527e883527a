"""``python -m central``: make the folder of an embedded central, serve it, back it up and restore it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from central.configuration.settings import KEY_RINGS
from central.folder import Folder
from central.trust.ring_variable import keep_from_others, taken
from pilot.errors import PilotageError, of_system

if TYPE_CHECKING:
    from central.trust.ring_source import RingSource

Verb = Callable[[argparse.Namespace], None]
MAX_WORKERS = 256


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0 done, 1 not done and why is said, 2 wrong command line."""
    given = taken(os.environ)
    if given is not None:
        keep_from_others()
    options = _parser().parse_args(arguments)
    options.given_ring = given
    run: Verb = options.run
    try:
        run(options)
    except PilotageError as error:
        print(f"central: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if run in (_serve, _worker):  # of what serves, the log is to have the whole story
            raise
        print(f"central: {of_system(error)}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m central", description="The central of Pilotage.")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    init = _verb(verbs, "init", _init, "make the folder of a central, or what is missing in it")
    init.add_argument("--port", type=_port, help="to listen on; 0 picks a free one (default: 9618)")
    init.add_argument("--pilot", type=Path, help="the pilot.pyz that pilots are started from")
    init.add_argument("--database", help="where jobs are kept: postgresql://user@host/name (default: a file of SQLite)")
    init.add_argument("--workers", type=_workers, help="processes that share the work (default: 1)")
    init.add_argument("--key-ring", choices=KEY_RINGS, help="where a new central has its key ring from (default: file)")
    init.add_argument("--ring", type=Path, help="a file to make the key ring in, where it is not in the folder")
    serve = _verb(verbs, "serve", _serve, "serve until SIGTERM or SIGINT")
    serve.add_argument("--workers", type=_workers, help="processes that share the work (default: as the settings say)")
    worker = _verb(verbs, "worker", _worker, "be one of the processes that `serve` starts")
    worker.add_argument("--number", type=_workers, required=True, help="which of them, from 1 on")
    backup = _verb(verbs, "backup", _backup, "copy the database, also while it is served")
    backup.add_argument("target", type=Path, help="the file to write")
    restore = _verb(verbs, "restore", _restore, "put a copy in the place of the database, which is kept beside it")
    restore.add_argument("source", type=Path, help="a file that `backup` wrote")
    new_key = _verb(verbs, "new-key", _new_key, "add a key to the key ring that follows from none before")
    new_key.add_argument("--output", type=Path, help="write the ring with that key here, and leave it where it is")
    _verb(verbs, "accept-ring", _accept_ring, "go on with the present key ring, though the database is under another")
    audit = _verb(verbs, "verify-audit", _verify_audit, "walk the chain of the audit, also while it is served")
    audit.add_argument("--expect", type=_anchor, action="append", default=[], help="a link written down: NUMBER:HASH")
    audit.add_argument("--json", action="store_true", help="print the findings as JSON")
    interface = verbs.add_parser("openapi", help="print the OpenAPI document")
    interface.set_defaults(run=_openapi)
    rights = verbs.add_parser("rights", help="print who may ask for what, or bring the page of it up to date")
    rights.add_argument("page", type=Path, nargs="?", help="the page: docs/rights.md")
    rights.set_defaults(run=_rights)
    return parser


def _verb(verbs: Any, name: str, run: Verb, help: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=help, description=help)
    parser.set_defaults(run=run)
    parser.add_argument(
        "--folder",
        type=lambda text: Folder(Path(text).expanduser().absolute()),
        default=os.environ.get("PILOTAGE_FOLDER", "~/.pilotage"),
        help="where the central keeps everything (default: $PILOTAGE_FOLDER, else ~/.pilotage)",
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"expected 0 to 65535, got {port}")
    return port


def _workers(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_WORKERS:
        raise argparse.ArgumentTypeError(f"expected 1 to {MAX_WORKERS}, got {number}")
    return number


# Each verb imports what it needs: `init` starts in the time that the certificates take, `openapi` needs no database.


def _init(options: argparse.Namespace) -> None:
    from central.init import Wishes, init

    wishes = Wishes(options.port, options.database, options.workers, options.key_ring, options.ring)
    init(options.folder, wishes, options.pilot, time.time(), print)


def _serve(options: argparse.Namespace) -> None:
    from central.serving.serve import log_to_stderr, serve

    keep_from_others()  # it has the key ring in its memory, wherever that came from
    log_to_stderr()
    serve(options.folder, options.workers, options.given_ring)


def _worker(options: argparse.Namespace) -> None:
    from central.serving.serve import log_to_stderr, serve_beside

    keep_from_others()
    log_to_stderr(options.number)
    serve_beside(options.folder, options.number)


def _backup(options: argparse.Namespace) -> None:
    from central.keeping.copies import backup

    backup(options.folder, options.target.absolute())
    print(f"wrote {options.target}; `restore` or opening it puts it back into use")


def _restore(options: argparse.Namespace) -> None:
    from central.keeping.copies import restore

    kept = restore(options.folder, options.source.absolute())
    print(f"restored {options.source}" + (f"; the database before is {kept}" if kept else ""))


def _new_key(options: argparse.Namespace) -> None:
    source = _source(options)
    if options.output:
        key = source.add_unrelated(time.time(), options.output)
        print(f"wrote {options.output}, the key ring with {key.id}: put it in the place of {source.where},")
        print("start the central, which then seals with that key, and remove the file")
        return
    with nullcontext() if source.read_only else options.folder.lock():
        key = source.add_unrelated(time.time())
    print(f"{key.id} seals from now on; credentials come under it when the central starts")


def _accept_ring(options: argparse.Namespace) -> None:
    from central.directors.assembly import DUTY
    from central.lifecycle import holder
    from central.trust.foreign import accept_ring

    with options.folder.lock():
        print(accept_ring(options.folder, _source(options), DUTY, holder(options.folder.path, 0)))


def _source(options: argparse.Namespace) -> RingSource:
    from central.configuration import settings_file
    from central.trust.ring_source import ring_source

    service = settings_file.load(options.folder.settings).service
    return ring_source(options.folder, service, os.environ, options.given_ring)


def _anchor(text: str) -> tuple[int, str]:
    number, _, hash = text.partition(":")
    return int(number), hash.strip().lower()


def _verify_audit(options: argparse.Namespace) -> None:
    from central.trust import looking_back
    from pilot.auditing import Anchor

    expected = [Anchor(*one) for one in options.expect]
    verdict = looking_back.look_back(options.folder, expected, options.given_ring)
    if options.json:
        import msgspec

        print(msgspec.json.encode(verdict).decode())
    elif verdict.sound:
        print(looking_back.told(verdict))
    else:
        raise PilotageError(looking_back.told(verdict))


def _openapi(options: argparse.Namespace) -> None:
    import msgspec

    from central.routes import EVERY_ROUTE
    from central.serving.openapi import document

    print(msgspec.json.format(msgspec.json.encode(document(EVERY_ROUTE))).decode())


def _rights(options: argparse.Namespace) -> None:
    from central.routes import EVERY_ROUTE
    from central.serving import rights

    if options.page is None:
        print(rights.table(EVERY_ROUTE))
    else:
        options.page.write_text(rights.page(options.page.read_text(), EVERY_ROUTE))


if __name__ == "__main__":
    sys.exit(main())
