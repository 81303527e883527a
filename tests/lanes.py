"""The lanes of tests: what each runs, under which Python, what it needs; and the table at the end of `./dev test`.

A lane is one pytest process. To add one, add a row to LANES (see CONTRIBUTING.md).
"""

import ast
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from tests import postgres

TOP = Path(__file__).resolve().parent.parent
STATE = TOP / ".lanes"  # logs, reports, and the environments of other Pythons
NODE_PYTHONS = ("3.9", "3.11", "3.13")

# How many lanes run at a time: on two cores a third still gains, since most of them wait most of the time.
AT_A_TIME = 3

# What runs on both stores (see tests/chosen_store.py).
API = ("audit", "bundles", "jobs", "life", "logs", "people", "pilots", "process", "routes", "sandboxes", "use")
WHOLE = ("bad_days", "cli", "community_day", "preemption", "random_kills", "wrapper_tells")
SYSTEM = tuple(f"tests/integration/test_{name}.py" for name in WHOLE)

# Of the other tests with whole pilots, half: those without users and control groups of their own, of which there is one
# set on a machine.
PILOTS = tuple(
    f"tests/integration/test_{name}.py"
    for name in (
        *("agents", "centrals_that_fail", "commands_page", "cost", "filling", "foreign_ring", "found_and_used"),
        *("key_ring", "last_words"),
        *("log_receivers", "machines_by_hand", "monitor", "monitor_notices", "peek", "proxy", "queue_agents"),
        *("queues_explained", "site_day", "site_drains", "site_word", "unsent", "waste"),
    )
)

# Lanes run side by side: this Slurm is another than that of the lane slurm, and leaves its control groups alone.
SLURM_APART = {
    "SLURM_PLACE": "/var/tmp/pilotage-testbeds/slurm-accounting",
    "SLURM_PORT": "26857",
    "SLURM_CONFINE": "0",
}

# Where tests/real/lxd.sh keeps what it makes.
LXD = Path("/var/tmp/pilotage-testbeds/lxd")

# What needs a real container runtime.
CONTAINERS = ("apptainer", "container_images", "container_jobs", "container_metadata", "container_rights")

# What a unit test may import to run on a node: what travels, and the test tools of requirements/node.in.
NODE_MODULES = sys.stdlib_module_names | {
    "commands",
    "pilot",
    *("hypothesis", "psutil", "pytest", "requests", "responses", "urllib3", "yaml"),
}

# Reasons for which a test of a default lane may be skipped in CI; each is a substring of pytest's message.
ALLOWED_SKIPS: tuple[str, ...] = (
    "PostgreSQL is copied with pg_dump",
    *("control groups can be made here", "control groups of version 2 can be made here", "is not ours to use here"),
    "this machine has one CPU",
    "needs a control group for memory that can be written",
    *("the Python of the tests can be read by everybody", "there is no Python that every user can read"),
    *("this cloud asks for no credential", "this cloud has no spot machines", "answers of this cloud cannot be lost"),
    "this cloud does not tell what its spot machines have cost",
    "advisories cannot be reached",
)


@dataclass(frozen=True)
class Lane:
    """A row of the table: one pytest process."""

    name: str
    selection: Callable[[], Sequence[str]]  # pytest's arguments; no argument = the lane has no tests yet
    default: bool = True  # run by `./dev test`, and must run in CI
    alone: bool = False  # what it looks at would be disturbed by neighbours on two cores
    lacks: Callable[[], str] = lambda: ""  # what is missing, as a phrase; empty when nothing is
    setup: Sequence[str] = ()  # a command that makes ready what the lane needs; its last line says why it cannot
    teardown: Sequence[str] = ()  # ends what setup started
    python: Path = Path(sys.executable)
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: int = 2700  # after that the lane is ended, and failed


@dataclass(frozen=True)
class Result:
    lane: Lane
    passed: int = 0
    failed: int = 0
    skips: tuple[str, ...] = ()  # "test: reason"
    seconds: float = 0.0
    not_run: str = ""  # why the lane did not run
    refused: tuple[str, ...] = ()  # skips that CI counts as failures


def within(*paths: str) -> Callable[[], Sequence[str]]:
    """Select the tests below these paths; one that is not there fails the lane."""
    return lambda: paths


def node_tests() -> list[str]:
    """The unit tests of pilot and commands, known by their imports: these, and nothing that is not on a node."""
    chosen = []
    for path in sorted((TOP / "tests/unit").rglob("test_*.py")):
        try:
            modules = {module.partition(".")[0] for module in _imports(path)}
        except SyntaxError:  # the lane unit says so
            continue
        if modules & {"commands", "pilot"} and modules <= NODE_MODULES:
            chosen.append(str(path.relative_to(TOP)))
    return chosen


def _imports(path: Path) -> Iterator[str]:
    """What a file imports, and what the helpers in tests/ that it imports do."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)] if base == "tests" else [base]
        for name in names:
            helper = TOP / (name.replace(".", "/") + ".py")
            if name.startswith("tests.") and helper.exists():
                yield from _imports(helper)
            elif name != "tests":
                yield name


def node_python(version: str) -> Path:
    return STATE / f"python{version}/bin/python"


def _under(version: str) -> Lane:
    return Lane(
        f"python{version}",
        node_tests,
        setup=("tests/real/python.sh", version),
        python=node_python(version),
    )


LANES = (
    # The longest first: the others are done beside it.
    Lane("integration", within("tests/integration", *(f"--ignore={path}" for path in (*SYSTEM, *PILOTS)))),
    Lane("pilots", within(*PILOTS)),
    # The end-to-end suite, and again with two centrals over one database. Mostly it waits.
    Lane("system", within(*SYSTEM)),
    Lane(
        "system-postgres",
        within(*SYSTEM),
        lacks=postgres.missing,
        environment={"PILOTAGE_TEST_STORE": "postgres", "PILOTAGE_TEST_WORKERS": "2"},
    ),
    Lane("unit", within("tests/unit")),
    Lane("contract", within("tests/contract")),
    Lane("security", within("tests/security")),  # attempts that must fail
    Lane("dependencies", within("tests/dependencies")),  # what we bring along; the last line says what was looked at
    # In the lane contract there are 500 of these sequences.
    Lane(
        "cloud-storms",
        within("tests/contract/test_cloud_storms.py"),
        default=False,
        environment={"PILOTAGE_CLOUD_STORMS": "10000"},
        seconds=7200,
    ),
    Lane("examples", within("examples/bundle/tests")),  # as a community tests its own commands
    Lane(
        "api-postgres",
        within(*(f"tests/integration/test_api_{name}.py" for name in API)),
        lacks=postgres.missing,
        environment={"PILOTAGE_TEST_STORE": "postgres"},
    ),
    *map(_under, NODE_PYTHONS),
    Lane(
        "pythons",
        within("tests/real/test_pythons.py"),
        alone=True,
        setup=("tests/real/python.sh", *NODE_PYTHONS),
        # For the tests: the interpreters to run a whole pilot.pyz under, as PATH syntax.
        environment={"PILOTAGE_NODE_PYTHONS": os.pathsep.join(str(node_python(v)) for v in NODE_PYTHONS)},
    ),
    Lane(
        "slurm",
        within("tests/real/test_slurm.py", "tests/real/test_slurm_element.py"),
        setup=("tests/real/slurm.sh", "start"),
        teardown=("tests/real/slurm.sh", "stop"),
        environment={"PILOTAGE_SLURM_USER": "pilotage-test"},
    ),
    Lane(
        "slurm-accounting",
        within("tests/real/test_slurm_accounting.py"),
        default=False,
        setup=("tests/real/slurm.sh", "start"),
        teardown=("tests/real/slurm.sh", "stop"),
        environment={"PILOTAGE_SLURM_ACCOUNTING": "here", "SLURM_ACCOUNTING": "1", **SLURM_APART},
    ),
    Lane(
        "condor",
        within("tests/real/test_condor_element.py"),
        setup=("tests/real/condor.sh", "start"),
        teardown=("tests/real/condor.sh", "stop"),
        environment={"PILOTAGE_CONDOR": "/var/tmp/pilotage-testbeds/condor/bin"},
    ),
    Lane(
        "ssh",
        within("tests/real/test_ssh_element.py"),
        setup=("tests/real/ssh.sh", "start"),
        teardown=("tests/real/ssh.sh", "stop"),
        environment={"PILOTAGE_SSH_USER": "pilotage-test"},
    ),
    Lane(
        "apptainer",
        within(*(f"tests/real/test_{name}.py" for name in CONTAINERS)),
        setup=("tests/real/apptainer.sh",),
        environment={"PILOTAGE_APPTAINER": str(STATE / "apptainer")},
    ),
    Lane(
        "cloudinit",
        within("tests/real/test_cloudinit.py"),
        default=False,
        setup=("tests/real/cloudinit.sh",),
        environment={"PILOTAGE_CLOUDINIT": "/var/tmp/pilotage-testbeds/cloudinit/root-bookworm"},
    ),
    *(
        Lane(
            name,
            within(*(f"tests/real/test_{test}.py" for test in tests)),
            default=name == "nspawn",
            setup=("tests/real/guests.sh", name.partition("-")[0]),
            environment={"PILOTAGE_GUEST_IMAGES": "/var/tmp/pilotage-testbeds/images"},
        )
        for name, tests in (
            ("nspawn", ("guests", "guests_work")),
            ("nspawn-bad-days", ("guests_bad_days", "guests_nat")),
            ("qemu", ("guests_qemu",)),
        )
    ),
    *(
        Lane(
            name,
            within(f"tests/real/test_ec2_{what}.py"),
            default=name == "ec2",
            alone=name != "ec2",  # both are the same server; the second waits for leases that end
            setup=("tests/real/ec2.sh", "start"),
            teardown=("tests/real/ec2.sh", "stop"),
            environment={"PILOTAGE_EC2": "/var/tmp/pilotage-testbeds/ec2"},
        )
        for name, what in (("ec2", "provider"), ("ec2-machines", "machines"))
    ),
    Lane(
        "lxd",
        within("tests/real/test_pycloudlib_provider.py"),
        default=False,
        setup=("tests/real/lxd.sh", "start"),
        teardown=("tests/real/lxd.sh", "stop"),
        python=LXD / "python/bin/python",
        environment={"PILOTAGE_LXD": str(LXD), "LXD_DIR": str(LXD / "daemon"), "LXD_CONF": str(LXD / "client")},
    ),
    *(
        Lane(
            name,
            within(f"tests/real/test_openstack_{what}.py"),
            default=False,
            alone=True,  # both are the same OpenStack, with another hypervisor
            setup=("tests/real/openstack.sh", "start"),
            teardown=("tests/real/openstack.sh", "stop"),
            environment={"PILOTAGE_OPENSTACK": "/var/tmp/pilotage-testbeds/openstack", "DRIVER": driver},
        )
        for name, what, driver in (("openstack", "provider", "fake"), ("openstack-guests", "work", "qemu"))
    ),
    *(
        Lane(
            name,
            within(f"tests/real/test_{name}.py"),
            setup=(f"tests/real/{name}.sh", "start"),
            teardown=(f"tests/real/{name}.sh", "stop"),
        )
        for name in ("xrootd", "s3", "oidc", "voms")
    ),
    *(
        Lane(
            name,
            within(f"tests/real/test_{name}_element.py"),
            default=False,
            setup=(f"tests/real/{name}.sh", "start"),
            teardown=(f"tests/real/{name}.sh", "stop"),
            environment=environment,
        )
        for name, environment in (
            (
                "arc",
                {
                    "PILOTAGE_ARC_URL": "https://localhost:28443/arex",
                    "PILOTAGE_ARC_PLACE": "/var/tmp/pilotage-testbeds/arc",
                },
            ),
            ("gridengine", {"PILOTAGE_GRIDENGINE": "here"}),
            ("oar", {"PILOTAGE_OAR_USER": "pilotage-test"}),
        )
    ),
)


class Runner:
    """Runs lanes, knows what is running, and can end it."""

    def __init__(self, live: bool) -> None:
        self._live = live  # one lane alone: its output is shown as it comes
        self._running: set[subprocess.Popen[bytes]] = set()
        self._printing = threading.Lock()

    def run(self, lanes: Sequence[Lane]) -> list[Result]:
        """Some lanes at a time, and at the end those that neighbours would disturb, one by one."""
        results: list[Result] = []
        try:
            for alone, group in itertools.groupby(sorted(lanes, key=lambda lane: lane.alone), lambda lane: lane.alone):
                with ThreadPoolExecutor(max_workers=1 if alone else AT_A_TIME) as pool:
                    try:
                        results += pool.map(self.run_lane, group)
                    except KeyboardInterrupt:
                        pool.shutdown(wait=False, cancel_futures=True)
                        self.end_all()
                        raise
        finally:
            self.end_all()
        return results

    def run_lane(self, lane: Lane) -> Result:
        selection = lane.selection()
        if not selection:
            return Result(lane, not_run="has no tests")
        if missing := lane.lacks():
            return Result(lane, not_run=f"lacks {missing}")
        log = STATE / f"{lane.name}.log"
        with log.open("wb") as output:
            if lane.setup and self._call(lane.setup, lane, output, seconds=900) != 0:
                return Result(lane, not_run=f"lacks {_last_line(log)}")
            try:
                result = self._pytest(lane, selection, None if self._live else output)
            finally:
                if lane.teardown:
                    self._call(lane.teardown, lane, output, seconds=60)
        if not self._live:
            self._show(result, log)
        return result

    def _pytest(self, lane: Lane, selection: Sequence[str], output: IO[bytes] | None) -> Result:
        report = STATE / f"{lane.name}.xml"
        report.unlink(missing_ok=True)
        began = time.monotonic()
        colour = "yes" if sys.stdout.isatty() else "no"
        options = [f"--junitxml={report}", f"--color={colour}"]
        code = self._call([lane.python, "-m", "pytest", *options, *selection], lane, output, lane.seconds)
        result = replace(read_report(lane, report), seconds=time.monotonic() - began)
        if code == 5:
            return replace(result, not_run="has no tests")
        if code != 0 and result.failed == 0:  # it died before it could report a failure
            result = replace(result, failed=1)
        return result

    def _call(self, command: Sequence[str | Path], lane: Lane, output: IO[bytes] | None, seconds: int) -> int:
        """Exit code of the command; when it takes too long it is ended with all that it started."""
        process = subprocess.Popen(
            command,
            cwd=TOP,
            env={**os.environ, **lane.environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._running.add(process)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            end(process)
            print(f"\nlane {lane.name}: ended, since it took more than {seconds} s", flush=True)
            return -1
        finally:
            self._running.discard(process)

    def end_all(self) -> None:
        for process in tuple(self._running):
            end(process)

    def _show(self, result: Result, log: Path) -> None:
        with self._printing:
            print(f"\n===== {result.lane.name} =====", flush=True)
            sys.stdout.buffer.write(log.read_bytes() if result.failed else _last_line(log).encode() + b"\n")
            sys.stdout.buffer.flush()


def end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process group to end, and make sure of it."""
    for sign, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, sign)
            process.wait(seconds)
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "(it printed nothing)"


def read_report(lane: Lane, report: Path) -> Result:
    """What pytest's own report says; nothing passed when there is none."""
    if not report.exists():
        return Result(lane)
    passed = failed = 0
    skips = []
    for case in ElementTree.parse(report).iter("testcase"):
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skipped is not None:
            skips.append(f"{case.get('classname')}::{case.get('name')}: {skipped.get('message') or 'no reason given'}")
        else:
            passed += 1
    return Result(lane, passed, failed, tuple(skips))


def strictly(result: Result) -> Result:
    """CI's view: a default lane that did not run, or a skip that nobody allowed, is a failure."""
    if not result.lane.default:
        return result
    if result.not_run:
        return replace(result, failed=1)
    allowed = tuple(skip for skip in result.skips if any(reason in skip for reason in ALLOWED_SKIPS))
    refused = tuple(skip for skip in result.skips if skip not in allowed)
    return replace(result, skips=allowed, refused=refused, failed=result.failed + len(refused))


def table(results: Sequence[Result]) -> str:
    width = max(len(result.lane.name) for result in results)
    rows = [f"{'lane':{width}}  passed  failed  skipped  seconds"]
    for result in results:
        if result.not_run:
            rows.append(f"{result.lane.name:{width}}  did not run: {result.not_run}")
        else:
            counts = f"{result.passed:6}  {result.failed:6}  {len(result.skips):7}  {result.seconds:7.1f}"
            rows.append(f"{result.lane.name:{width}}  {counts}")
        rows += [f"{'':{width}}  skipped {skip}" for skip in result.skips]
        rows += [f"{'':{width}}  skipped, which CI allows only for ALLOWED_SKIPS: {skip}" for skip in result.refused]
    return "\n".join(rows)


def summary(results: Sequence[Result]) -> str:
    passed = sum(result.passed for result in results)
    failed = sum(result.failed for result in results)
    skipped = sum(len(result.skips) for result in results)
    return f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")


def choose(arguments: Sequence[str]) -> list[Lane]:
    """The lanes that the command line means: names of lanes, --all, or paths and options for one pytest process."""
    named = [lane for lane in LANES if lane.name in arguments]
    known = {"--all", *(lane.name for lane in LANES)}
    if paths := [argument for argument in arguments if argument not in known]:
        named.append(Lane("paths", lambda: paths))
    return named or [lane for lane in LANES if lane.default or "--all" in arguments]


def main(arguments: Sequence[str]) -> int:
    STATE.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        lanes = choose(arguments)
        results = Runner(live=len(lanes) == 1).run(lanes)
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    if os.environ.get("CI") == "true":
        results = [strictly(result) for result in results]
    last = summary(results)
    (STATE / "summary").write_text(last + "\n")
    print(f"\n{table(results)}\n\n{last}", flush=True)
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
