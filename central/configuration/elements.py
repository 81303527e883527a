"""How a queue's computing element is reached and spoken to, as the settings have it. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class VaultName:
    """The section ``[queues.credential]``: what of the vault the computing element is spoken to with."""

    community: str
    owner: str
    name: str
    kind: str  # x509-proxy, bearer, application-credential or access-key

    def __str__(self) -> str:
        return f"{self.name} of {self.owner} ({self.community})"


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
class Schedd:
    """The section ``[queues.schedd]``: another schedd of HTCondor than that of the host, as that of an HTCondor-CE."""

    name: str = ""
    pool: str = ""  # HOST:PORT of the collector that knows where it is; empty: the host's own
    spool: bool = False  # it does not see the host's files: they are sent there, and what was printed is fetched


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
    parallel_environment: str = ""  # of Grid Engine, which keeps a pilot of several cores on one host
    memory_resource: str = ""  # what Grid Engine's site calls the limit on memory of a slot; empty: h_vmem
    gpu_resource: str = ""  # what Grid Engine's or OAR's site calls GPUs; empty: gpu


@dataclass(frozen=True)
class Arc:
    """The section ``[queues.arc]``: an ARC computing element, and who we are there."""

    url: str  # https://HOST:PORT/arex
    queue: str = ""  # empty: ARC chooses
    ca: str = ""  # file of certificates, or folder as in /etc/grid-security/certificates; empty: the system's
    proxy: str = ""  # file of an X.509 proxy, or of a certificate with its key; 0600
    token: str = ""  # file of a bearer token; 0600. One of the two, or a credential of the vault
    delegate: bool = True  # where we have a proxy: jobs get one that is signed with it, and renewed
    runtime_environments: tuple[str, ...] = ()
    whole_node: bool = False
    prefix: str = ""  # of the names of jobs; empty: of this queue and this central
    patience: float = 60.0  # seconds that one request may take


@dataclass(frozen=True)
class Cloud:
    """The section ``[queues.cloud]``: an account of a cloud, and which machines are started there."""

    flavor: str  # this, the image and the networks by name or id
    image: str
    url: str = ""  # of its API (OpenStack: of Keystone); empty: the usual one of the kind
    region: str = ""
    networks: tuple[str, ...] = ()  # empty: the cloud's default
    security_groups: tuple[str, ...] = ()  # likewise
    zone: str = ""  # availability zone; empty: the cloud chooses
    key: str = ""  # name of an SSH key of the account that operators may log in with
    config_drive: bool = True  # user-data comes on a disk of the machine as well, where the cloud can do that
    ca: str = ""  # file of certificates that its API is trusted by; empty: the system's
    spot: bool = False  # machines that may be taken back at any time, for less money
    most: float | None = None  # price of an hour above which no machine is bought
    keep: int = 0  # machines that are kept whatever waits; 0: as many as the waiting jobs need
    folder: str = ""  # of guests on this host: where images and machines are
    patience: float = 60.0  # seconds that one request may take
