"""The rendered wrapper as a real process of real shells, against a real HTTPS server; a stand-in is the pilot."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from tests.integration.https import Authority, make_authority
from tests.integration.wrapper_scene import PYZ, SHELLS, STAMP, TICKET, Scene, dead_url, set_up, tools, wait_for
from wrappers.render import quoted, render

every_shell = pytest.mark.parametrize("shell", SHELLS, ids=" ".join)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def scene(tmp_path: Path, authority: Authority) -> Iterator[Scene]:
    with set_up(tmp_path, authority) as scene:
        yield scene


# -- the way that everything goes well --------------------------------------------------------------------------------


@every_shell
def test_the_first_url_that_gives_the_right_file_is_used(scene: Scene, shell: tuple[str, ...]) -> None:
    """A dead URL and one with wrong bytes are passed over, the pilot runs, and its exit code is the wrapper's."""
    scene.server.files["/wrong.pyz"] = PYZ + b"!"
    urls = (f"{dead_url()}/pilot.pyz", f"{scene.server.url}/wrong.pyz", f"{scene.server.url}/pilot.pyz")
    scene.then("sys.exit(21)", urls=urls)

    code, printed = scene.run(*shell)

    assert code == 21
    assert scene.started is not None
    assert printed.startswith(f"pilot {STAMP} on ")
    assert f"{urls[0]}, try 1 of 2:" in printed
    assert f"{urls[1]}: expected SHA-256 {scene.bootstrap.sha256}, got " in printed
    assert "the pilot speaks" in printed
    assert [request.path for request in scene.server.requests[:2]] == ["/wrong.pyz", "/pilot.pyz"]


@every_shell
def test_the_pilot_gets_its_configuration(scene: Scene, shell: tuple[str, ...]) -> None:
    """`pilot.json` arrives whole, paths absolute, in a directory and files for the owner alone."""
    scene.then("sys.exit(0)", site='Gex\'s "Süd" $(reboot) `id` \\ ☃', keep_work=True)
    code, printed = scene.run(*shell)
    assert code == 0, printed
    assert scene.started is not None
    config = scene.started["config"]
    assert isinstance(config, dict)
    assert config["site"] == scene.bootstrap.site
    assert config["work"] == str(scene.work) == scene.started["cwd"]
    assert config["secret_file"] == str(scene.folder / "secret")
    assert Path(config["ca"]).read_text() == scene.bootstrap.ca_pem
    assert Path(config["ticket_file"]).read_text().strip() == TICKET
    assert Path(config["boot_log"]).read_text().startswith(f"pilot {STAMP} on ")
    assert scene.started["argv"] == ["pilot.pyz", "run", "--config", "pilot.json"]
    assert scene.started["isolated"] == 1
    assert stat.S_IMODE(scene.work.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in scene.work.iterdir()} == {0o600}


@every_shell
def test_any_path_will_do(scene: Scene, shell: tuple[str, ...]) -> None:
    """Blanks, quotes, dollars and line breaks in the work directory's path are part of its name."""
    base = scene.folder / "a b'c\"d$HOME\n`e`\\ é"
    scene.then("sys.exit(0)", work_base=str(base), exit_file=str(base / "exit code"))
    code, printed = scene.run(*shell)
    assert code == 0, printed
    assert scene.started is not None
    assert scene.started["cwd"] == str(base / STAMP)
    assert (base / "exit code").read_text() == "0\n"


def test_the_scratch_directory_of_the_batch_system_is_used(scene: Scene) -> None:
    """Without a given place the work directory is where the batch system wants scratch files, if that exists."""
    scratch = scene.folder / "scratch"
    scratch.mkdir()
    scene.then("sys.exit(0)", work_base="")
    scene.run(TMPDIR=str(scratch), SLURM_TMPDIR=str(scene.folder / "not there"))
    assert scene.started is not None
    assert scene.started["cwd"] == str(scratch / STAMP)


def test_without_any_scratch_directory_it_stays_where_it_is(scene: Scene) -> None:
    """The last resort is the directory in which the batch system started the wrapper."""
    scene.then("sys.exit(0)", work_base="")
    scene.run()
    assert scene.started is not None
    assert scene.started["cwd"] == str(scene.folder / STAMP)


@every_shell
def test_a_job_without_a_search_path(scene: Scene, shell: tuple[str, ...]) -> None:
    """A batch system that sets no PATH, as HTCondor, still gets a pilot, which has one."""
    scene.then("sys.exit(0)")
    code, printed = scene.run("env", "-u", "PATH", *shell)
    assert code == 0, printed
    assert scene.started is not None
    environment = scene.started["environment"]
    assert isinstance(environment, dict)
    assert "/usr/bin" in environment["PATH"].split(":")


def test_without_curl_python_fetches(scene: Scene) -> None:
    """A node needs nothing but a shell and a Python."""
    code, printed = scene.run(PATH=tools(scene, without="curl"))
    assert code == 0, printed
    assert [request.headers["User-Agent"][:13] for request in scene.server.requests[:1]] == ["Python-urllib"]


@every_shell
def test_a_shell_gives_back_any_text_exactly(shell: tuple[str, ...]) -> None:
    """Whatever text is quoted, a real shell hands it to a program unchanged."""

    @hypothesis.settings(max_examples=20)
    @hypothesis.given(
        st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))), max_size=40)
    )
    def law(values: list[str]) -> None:
        words = " ".join(quoted(value) for value in values)
        printed = subprocess.run(
            [*shell], input=f"printf '%s\\0' x {words}".encode(), capture_output=True, check=True
        ).stdout
        assert printed.decode().split("\0")[1:-1] == values

    law()


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_rendered_script_is_shellcheck_clean(scene: Scene) -> None:
    """What is shipped, not only the template, passes shellcheck."""
    done = subprocess.run(["shellcheck", "-"], input=render(scene.bootstrap).encode(), capture_output=True)
    assert done.returncode == 0, done.stdout.decode()


# -- integrity and secrets --------------------------------------------------------------------------------------------


@every_shell
def test_wrong_bytes_are_never_opened(scene: Scene, shell: tuple[str, ...]) -> None:
    """Nothing of a file with another digest runs, nothing of it stays, and the central is told."""
    scene.then("sys.exit(0)", sha256="0" * 64, keep_work=True)
    code, printed = scene.run(*shell)
    assert code == 92
    assert scene.started is None
    assert {path.name for path in scene.work.iterdir()} == {"boot.log", "ca.pem", "ticket"}
    body = scene.told().body.decode()
    assert "Removed unopened" in body
    assert body in printed


def test_a_server_that_the_ca_does_not_know_is_not_listened_to(scene: Scene, tmp_path: Path) -> None:
    """Without the right certificate a server gets neither to send a file nor to see the ticket."""
    other = tmp_path / "other"
    other.mkdir()
    scene.then("sys.exit(0)", ca_pem=make_authority(other).ca_pem)
    code, printed = scene.run()
    assert code == 91
    assert "certificate" in printed
    assert scene.server.requests == []


def test_no_secret_is_in_arguments_or_environment(scene: Scene) -> None:
    """The ticket goes to the programs that need it by other ways, with Python and with curl alike."""
    scene.then("sys.exit(3)")
    scene.run(ticket="exported by somebody before")
    assert TICKET not in json.dumps(scene.started)
    scene.told()

    scene.server.requests.clear()
    scene.then("sys.exit(0)", pythons=("no-such-python",))
    scene.run(PATH=tools(scene, recording="curl"))
    scene.told()
    assert "--data-binary" in (scene.folder / "calls").read_text()
    assert TICKET not in (scene.folder / "calls").read_text()


def test_an_endless_answer_does_not_fill_the_disk(scene: Scene) -> None:
    """A file far larger than any pilot.pyz is cut off."""
    scene.server.files["/pilot.pyz"] = bytes(40 * 1024 * 1024)
    code, _ = scene.run()
    assert code == 91
    assert scene.started is None


# -- failures that only the wrapper sees ------------------------------------------------------------------------------


@every_shell
def test_no_python_is_told_to_the_central(scene: Scene, shell: tuple[str, ...]) -> None:
    """Too old a Python and a broken one are named with what they said."""
    old, broken = scene.folder / "old", scene.folder / "broken"
    old.write_text("#!/bin/sh\necho 3.6.8 is older than 3.9 >&2\nexit 1\n")
    broken.write_text("#!/bin/sh\necho shim: no such version >&2\nexit 127\n")
    for candidate in (old, broken):
        candidate.chmod(0o700)
    scene.then("sys.exit(0)", pythons=(str(old), str(broken), "no-such-python"))
    code, _ = scene.run(*shell)
    assert code == 90
    body = scene.told().body.decode()
    assert "old (3.6.8 is older than 3.9)" in body
    assert "broken (shim: no such version)" in body
    assert "No Python 3.9 or newer" in body


@every_shell
def test_no_download_is_told_to_the_central(scene: Scene, shell: tuple[str, ...]) -> None:
    """Every URL is tried twice, and the second central hears of it when the first is away."""
    gone = f"{dead_url()}/pilot.pyz"
    scene.then("sys.exit(0)", urls=(gone, f"{scene.server.url}/none"), central=(dead_url(), scene.server.url))
    code, _ = scene.run(*shell)
    assert code == 91
    body = scene.told().body.decode()
    assert f"{gone}, try 2 of 2: " in body
    assert "404" in body
    assert [request.path for request in scene.server.requests if request.method == "GET"] == ["/none", "/none"]


@every_shell
def test_a_stamp_never_runs_twice_in_one_place(scene: Scene, shell: tuple[str, ...]) -> None:
    """Where the work directory exists already nothing in it is touched, and the central is told."""
    scene.work.mkdir(parents=True)
    (scene.work / "precious").touch()
    code, _ = scene.run(*shell)
    assert code == 93
    assert [path.name for path in scene.work.iterdir()] == ["precious"]
    assert "No work directory" in scene.told().body.decode()


#: Counts how often it was started, and is killed the first so many times, once it has a session.
KILLED = (
    "open('session', 'w').close(); open('enrolled', 'w')\n"
    "n = os.path.getsize('starts') if os.path.exists('starts') else 0\n"
    "open('starts', 'a').write('x')\n"
    "if n < {times}: os.kill(os.getpid(), signal.SIGKILL)\n"
    "os.unlink('session'); open(os.path.join(config['report'], 'lives'), 'w').write(str(n + 1)); sys.exit(0)"
)


@every_shell
def test_a_killed_pilot_that_left_its_session_is_started_again(scene: Scene, shell: tuple[str, ...]) -> None:
    """It goes on in the same folder, and when it has ended well nothing is left."""
    scene.then(KILLED.format(times=2))
    code, printed = scene.run(*shell)
    assert code == 0
    assert (scene.folder / "lives").read_text() == "3"
    assert printed.count("was killed by signal 9. It is started again") == 2
    assert list((scene.folder / "work").iterdir()) == []


@every_shell
def test_a_pilot_that_is_killed_again_and_again_is_given_up(scene: Scene, shell: tuple[str, ...]) -> None:
    """After three restarts the wrapper ends as the pilot did."""
    scene.then(KILLED.format(times=100))
    code, printed = scene.run(*shell)
    assert code == 128 + signal.SIGKILL
    assert printed.count("It is started again") == 3


@every_shell
def test_a_session_of_an_earlier_start_is_taken_up(scene: Scene, shell: tuple[str, ...]) -> None:
    """A wrapper that is started anew in the same place, as after a reboot, starts the pilot that is there, checked."""
    scene.work.mkdir(parents=True)
    (scene.work / "session").touch(mode=0o600)
    (scene.work / "pilot.pyz").write_bytes(b"tampered with")
    scene.then(KILLED.format(times=0))
    code, printed = scene.run(*shell)
    assert (code, (scene.folder / "lives").read_text()) == (0, "1")
    assert "The pilot of an earlier start of this is taken up" in printed
    assert [request.path for request in scene.server.requests if request.method == "GET"] == ["/pilot.pyz"]
    assert list((scene.folder / "work").iterdir()) == []


@every_shell
def test_a_folder_that_another_process_has_is_not_removed(scene: Scene, shell: tuple[str, ...]) -> None:
    """A pilot that finds the place taken leaves it, and so does its wrapper."""
    scene.work.mkdir(parents=True)
    (scene.work / "session").touch(mode=0o600)
    scene.then("sys.exit(2)")
    code, _ = scene.run(*shell)
    assert code == 2
    assert (scene.work / "session").exists()


@every_shell
def test_a_pilot_that_cannot_start_says_why(scene: Scene, shell: tuple[str, ...]) -> None:
    """The last words on its standard error reach the central and the batch system's output."""
    scene.then("raise RuntimeError('the zip is fine, the code is not')")
    code, printed = scene.run(*shell)
    assert code == 1
    body = scene.told().body.decode()
    assert "RuntimeError: the zip is fine, the code is not" in body
    assert "ended with exit code 1, before it could speak to the central" in body
    assert body in printed.replace("the pilot speaks\n", "")


@every_shell
def test_a_killed_pilot_is_told_to_the_central(scene: Scene, shell: tuple[str, ...]) -> None:
    """Who was killed by a signal cannot say so itself."""
    scene.then("os.kill(os.getpid(), signal.SIGKILL)")
    code, _ = scene.run(*shell)
    assert code == 128 + signal.SIGKILL
    assert "killed by signal 9" in scene.told().body.decode()


def test_an_enrolled_pilot_speaks_for_itself(scene: Scene) -> None:
    """Once the pilot has enrolled, the wrapper sends nothing more."""
    scene.then("open('enrolled', 'w'); sys.exit(20)")
    code, printed = scene.run()
    assert code == 20
    assert "The pilot ended with exit code 20.\n" in printed
    assert scene.server.puts() == []


def test_no_central_is_no_reason_to_hang(scene: Scene) -> None:
    """The telling is best effort, and the exit code is what it was."""
    scene.then("sys.exit(2)", central=(dead_url(),))
    code, printed = scene.run()
    assert code == 2
    assert "No central took this log." in printed


# -- signals ----------------------------------------------------------------------------------------------------------


@every_shell
def test_signals_are_passed_on(scene: Scene, shell: tuple[str, ...]) -> None:
    """Each signal reaches the pilot, which decides; the wrapper waits on and exits as the pilot does."""
    then = "while len(seen) < 5: time.sleep(0.01)\nprint('seen', *sorted(seen), flush=True); sys.exit(60)"
    scene.then(then)
    with scene.start(*shell) as process:
        wait_for(lambda: scene.started)
        said = scene.work / "boot.log"
        for name in ("TERM", "INT", "HUP", "USR1", "USR2"):
            process.send_signal(getattr(signal, f"SIG{name}"))
            wait_for(lambda name=name: f"Passing SIG{name} on" in said.read_text())
        printed = process.communicate(timeout=20)[0].decode()
    assert process.returncode == 60
    assert "seen SIGHUP SIGINT SIGTERM SIGUSR1 SIGUSR2\n" in printed


@every_shell
def test_a_pilot_that_dies_of_a_passed_signal_is_seen_to(scene: Scene, shell: tuple[str, ...]) -> None:
    """The exit code tells the signal that ended the pilot, not the one that woke the wrapper."""
    then = "signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), 9)); open('ready', 'w')"
    scene.then(f"{then}\nwhile True: time.sleep(0.01)")
    with scene.start(*shell) as process:
        wait_for((scene.work / "ready").exists)
        process.terminate()
        process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGKILL


@every_shell
def test_a_signal_before_the_pilot_ends_the_wrapper(scene: Scene, shell: tuple[str, ...]) -> None:
    """While it still fetches, the wrapper says that it was ended, and starts nothing."""
    asked, go_on = threading.Event(), threading.Event()

    def slow() -> bytes:
        asked.set()
        go_on.wait(20)
        return PYZ

    scene.server.files["/pilot.pyz"] = slow
    with scene.start(*shell) as process:
        assert asked.wait(20)
        process.terminate()
        go_on.set()
        process.communicate(timeout=20)
    assert process.returncode == 94
    assert scene.started is None
    assert "SIGTERM came before the pilot was started" in scene.told().body.decode()


# -- the end ----------------------------------------------------------------------------------------------------------


@every_shell
def test_nothing_is_left_behind(scene: Scene, shell: tuple[str, ...]) -> None:
    """With everything delivered the work directory goes, whatever the pilot left in it."""
    scene.then("os.makedirs('spool/empty'); os.makedirs('slot/1'); open('enrolled', 'w'); sys.exit(0)")
    scene.run(*shell)
    assert scene.started is not None
    assert list((scene.folder / "work").iterdir()) == []


@pytest.mark.parametrize(("code", "keep"), [("os.makedirs('spool/1'); open('spool/1/report', 'w')", False), ("", True)])
def test_what_is_not_delivered_or_wanted_stays(scene: Scene, code: str, keep: bool) -> None:
    """A file in the spool keeps the work directory, and so does the wish to look at it."""
    scene.then(code, keep_work=keep)
    scene.run()
    assert scene.started is not None
    assert scene.work.exists()


@pytest.mark.parametrize("then", ["sys.exit(31)", "os.kill(os.getpid(), 9)"])
def test_the_exit_code_is_written_where_it_is_asked_for(scene: Scene, then: str) -> None:
    """A batch system that cannot tell the exit code finds it in a file, whole or not at all."""
    scene.then(then, exit_file="exit-code")
    code, _ = scene.run()
    assert (scene.folder / "exit-code").read_text() == f"{code}\n"
    assert not (scene.folder / "exit-code.part").exists()
