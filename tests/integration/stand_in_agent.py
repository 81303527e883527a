"""An agent for tests of the monitor: asks for jobs, runs each as a plain process, reports. Started like the real one.

What it shall do wrong is in the environment: STAND_IN = hang (its main loop stands still once it has a lease), die
(exits then), mute (never says a word), crash (raises at its start).
"""

import argparse
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from pilot import link, protocol
from pilot.errors import PilotageError
from pilot.states import Outcome, Phase, PilotReason

FAULT = os.environ.get("STAND_IN", "")


class Agent:
    """Runs one job after another. Also the receiver of orders."""

    def __init__(self, central: link.LinkedCentral, hello: "link.Hello") -> None:
        self.central = central
        self.hello = hello
        self.ending: tuple[PilotReason, str] | None = None
        self.wanted_dead: set = set()
        self.gone_attempts: set = set()
        self.payload: subprocess.Popen | None = None
        self.current = (0, 0)

    def kill(self, job: int, attempt: int, reason: str) -> None:
        self.wanted_dead.add((job, attempt))
        self.end_payload()

    def renew(self, job: int, attempt: int, credentials: tuple) -> None:
        print("renewed:", job, attempt, [one.name for one in credentials], flush=True)

    def gone(self, job: int, attempt: int) -> None:
        self.gone_attempts.add((job, attempt))
        self.end_payload()

    def drain(self, reason: PilotReason, message: str) -> None:
        self.ending = self.ending or (reason, message)

    def stop(self, reason: PilotReason, message: str, grace: float, files: float = 0.0) -> None:
        self.ending = (reason, message)
        self.end_payload()

    def lifetime(self, seconds: int) -> None:
        print("seconds left:", seconds, flush=True)

    def beside(self, busy: bool) -> None:
        print("others work:", busy, flush=True)

    def end_payload(self) -> None:
        if self.payload is not None:
            self.payload.terminate()

    def run(self) -> None:
        idle_since = time.monotonic()
        offer = protocol.Offer("here", "local", cores=1)
        while self.ending is None:
            self.central.tick()
            reply = self.central.match(offer, 1, 0.5)
            if reply.leases:
                for lease in reply.leases:
                    self.attempt(lease)
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > self.hello.settings.idle:
                self.ending = (PilotReason.IDLE, "nothing to do")
            elif not reply.number:
                time.sleep(0.1)

    def attempt(self, lease: protocol.Lease) -> None:
        self.current = (lease.job, lease.attempt)
        if self.ending is not None:
            self.central.release([lease], "ending")
            return
        place = self.hello.config.work / "attempts" / f"{lease.job}.{lease.attempt}"
        place.mkdir(parents=True)
        for name in ("stdout", "stderr"):
            (place / name).touch()
            self.central.stream(protocol.attempt_stream(lease.job, lease.attempt, name), place / name)
        with open(place / "stdout", "ab") as out, open(place / "stderr", "ab") as err:
            environment = {**os.environ, "TOKEN": lease.job_token}
            self.payload = subprocess.Popen(lease.spec.command, stdout=out, stderr=err, cwd=place, env=environment)
        self.central.report(*self.current, protocol.AttemptReport(Phase.RUNNING))
        if FAULT:
            print("something dreadful has happened", file=sys.stderr, flush=True)
            if FAULT == "die":
                os._exit(7)
            while True:  # other threads of a real agent go on measuring while its main loop hangs
                self.central.progress([protocol.LeaseReport(*self.current, Phase.RUNNING, protocol.Usage(wall=1.0))])
                time.sleep(0.05)
        while self.payload.poll() is None:
            self.central.tick()
            self.central.progress([protocol.LeaseReport(*self.current, Phase.RUNNING, protocol.Usage(wall=1.0))])
            time.sleep(0.05)
        for name in ("stdout", "stderr"):
            self.central.close_stream(protocol.attempt_stream(lease.job, lease.attempt, name))
        if self.current not in self.gone_attempts:
            self.central.report(*self.current, self.end(self.payload.returncode))
        self.payload = None
        shutil.rmtree(place)

    def end(self, code: int) -> protocol.AttemptReport:
        if self.current in self.wanted_dead:
            return protocol.AttemptReport(Phase.ENDED, Outcome.KILLED)
        if self.ending is not None and code < 0:
            return protocol.AttemptReport(Phase.ENDED, Outcome.PREEMPTED)
        outcome = Outcome.SUCCESS if code == 0 else Outcome.PAYLOAD_ERROR
        return protocol.AttemptReport(Phase.ENDED, outcome, exit_code=code)


def main() -> int:
    if FAULT == "crash":
        raise RuntimeError("the stand-in crashes at its start")
    parser = argparse.ArgumentParser()
    parser.add_argument("verb")
    parser.add_argument("--fd", type=int)
    parser.add_argument("--work")
    arguments = parser.parse_args()
    connection, hello, arrived = link.connect(arguments.fd)
    central = link.LinkedCentral(connection, lambda text: print(text, flush=True))
    agent = Agent(central, hello)
    central.orders(agent)
    central.start(arrived)
    print("the stand-in speaks", flush=True)
    central.step(protocol.StepReport(1, "discover", "ok"))
    if FAULT == "mute":
        threading.Event().wait()
    try:
        agent.run()
        reason, message = agent.ending or (PilotReason.INTERNAL, "")
        central.finished(reason, message)
    except PilotageError as error:
        print(f"the stand-in ends: {error}", flush=True)
        agent.end_payload()
        return 41
    return 0


if __name__ == "__main__":
    sys.exit(main())
