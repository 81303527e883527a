"""How a queue's computing element is reached and spoken to, as the settings have it. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ssh:
    """The section ``[queues.ssh]``: a host that the batch system's programs are run on, and who we are there."""

    host: str
    user: str = ""  # empty: as the SSH configuration says, else the central's own user
    port: int = 0  # 0: as the SSH configuration says, else 22
    key: str = ""  # file of the private key; empty: an agent, or the usual files
    known_hosts: str = ""  # file of host keys; empty: the user's own
    jump: str = ""  # USER@HOST:PORT of a host on the way


@dataclass(frozen=True)
class Batch:
    """The section ``[queues.batch]``: which part of a batch system pilots go to, and how its programs are run."""

    partition: str = ""  # or queue, in the words of some
    account: str = ""  # or project
    whole_node: bool = False
    extra: tuple[str, ...] = ()  # further arguments of the submit program (HTCondor: further lines)
    folder: str = ""  # on the submit host: where each pilot has a folder; nodes must see it, but with HTCondor
    programs: str = ""  # on the submit host: where the batch system's programs are; empty: on the search path
    environment: tuple[tuple[str, str], ...] = ()  # of these programs
    patience: float = 60.0  # seconds that one of them may take
