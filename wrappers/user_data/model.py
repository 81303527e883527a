"""What a virtual machine must be told to become a pilot."""

from __future__ import annotations

from dataclasses import dataclass, field

from pilot.errors import InvalidInput
from pilot.halting import NEVER
from wrappers.render import Bootstrap

#: What the machine keeps over a reboot, and the folder of its secret, which does not outlive one.
PLACE = "/var/lib/pilotage"
RUN = "/run/pilotage"
#: Seconds: a machine that is to live shorter would be gone before it has booted, and ten years are no end.
LEAST_LIFE, MOST_LIFE = 600, 10 * 366 * 86_400


@dataclass(frozen=True)
class Boot:
    """One virtual machine. Its pilot works in `PLACE`, as root; the settings say whom payloads run as.

    `secret` is good for one enrolment: a process of the machine may read it in the metadata service, and finds it used.
    """

    bootstrap: Bootstrap
    secret: str = field(repr=False)
    born: float  # seconds since the epoch
    life: int  # seconds after which the machine powers off whatever it does
    stays: bool = False  # it does not power off when its pilot has ended; nor where the queue says so

    @property
    def goes(self) -> bool:
        """Whether the machine powers off when its pilot has ended."""
        return not self.stays and self.bootstrap.settings.get("halting") != NEVER

    @property
    def ends(self) -> int:
        """When it powers off whatever it does, in seconds since the epoch."""
        return int(self.born + self.life)

    def check(self) -> None:
        """Raises `InvalidInput`."""
        if not LEAST_LIFE <= self.life <= MOST_LIFE:
            raise InvalidInput("life", f"expected {LEAST_LIFE} to {MOST_LIFE} seconds, got {self.life}")
        if not 16 <= len(self.secret) <= 4096 or not self.secret.isascii() or not self.secret.isprintable():
            raise InvalidInput("secret", "expected 16 to 4096 printable ASCII characters")
