"""The central's settings, as one frozen record. `central/configuration/settings_file.py` reads them from TOML.

Durations are seconds, sizes bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from central.clouds.port import Price
from central.configuration.certificates import CertificateLogin
from central.configuration.elements import Arc, Batch, Cloud, Schedd, Ssh, VaultName
from central.configuration.login import Login
from central.configuration.pipelines import Layer
from central.records import Identity, Limit
from pilot import protocol
from pilot.halting import ELASTIC
from pilot.protocol import UNLIMITED, Amount, Gpu, Offer, Platform

#: What a person's token may do, from least to most; `central/trust/rules.py` says what each means.
ROLES = ("member", "group-admin", "community-admin", "operator")
#: Beside these: somebody who runs a site, and has no community.
SITE_ADMIN = "site-admin"
EVERY_ROLE = (*ROLES, SITE_ADMIN)
#: The computing elements that there are adapters for; ``external``: no director, others start the pilots.
LOCAL = "local"
EXTERNAL = "external"
#: Of these, the clouds: a pilot is a virtual machine there.
CLOUDS = ("ec2", "nspawn", "openstack", "pycloudlib", "qemu")
KINDS = (LOCAL, EXTERNAL, "arc", "condor", "gridengine", "lsf", "oar", "pbs", "slurm", "ssh", "torque", *CLOUDS)
#: Of the clouds, those whose machines are guests of this host.
GUESTS = ("nspawn", "qemu")
#: Entry points by which other distributions add kinds: name = kind, and a factory (Queue, Path) -> ComputingElement.
PLUGINS = "pilotage.elements"
#: The same for clouds; the factory is (Cloud, str, Path) -> CloudProvider, as in `central/clouds/making.py`.
CLOUD_PLUGINS = "pilotage.clouds"
DEFAULT_PORT = 9618
#: Where the key ring is from: `central/trust/ring_source.py`.
KEY_RINGS = ("file", "environment", "credential")
_DAY = 86400


@dataclass(frozen=True)
class Service:
    """The section ``[central]``: where it listens, what it keeps where, and its times and bounds."""

    bind: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    url: str = ""  # as clients and pilots reach it
    database: str = "central.db"  # this and the next two: relative to the folder, or absolute; or postgresql://…
    workers: int = 1  # processes that serve side by side; several need PostgreSQL
    key_ring: str = KEY_RINGS[0]
    objects: str = "objects"  # or a URL of fsspec
    pilot: str = "pilot.pyz"
    lease: int = 600  # seconds that a lease lasts without a word of its pilot
    beat: float = 10.0  # seconds between heartbeats, longer when there are many pilots
    silent_after: float = 180.0  # seconds without a word until a pilot is shown as silent
    log_bound: int = 10 * 1000 * 1000  # bytes that a pilot keeps of one stream
    sandbox_bound: int = 10 * 1000**3  # bytes of one file in the sandbox store
    token_life: int = 3600  # seconds, of a pilot's token
    job_token_life: int = 30 * _DAY  # seconds; it ends with the attempt anyway
    max_held: int = 2000  # match requests that wait at the same time
    match_wait: int = 30  # seconds that one may wait
    certificate_life: int = 7 * _DAY  # seconds, of the server's own certificate
    max_connections: int = 10_000  # of one process
    max_connections_per_address: int = 5_000
    person_rate: Amount = 500  # requests a second of one person, on average over a minute
    person_waiting: Amount = 1_000_000  # jobs of one person that wait at the same time
    person_sandbox: Amount = UNLIMITED  # bytes of files of one person
    pilot_rate: Amount = 200  # the same of one pilot, and of one attempt
    failure_rate: Amount = 20  # failures to show good credentials a second, of one address
    token_urls: tuple[str, ...] = ()  # token endpoints, or what they lie below, at which refresh tokens are used
    token_ca: str = ""  # certificates that these are trusted by, relative to the folder; empty: the system's
    keep_jobs: Amount = UNLIMITED  # seconds that a job is kept after its end
    keep_logs: Amount = UNLIMITED  # seconds that a log is kept after its end
    keep_audit: Amount = UNLIMITED  # seconds that lines of the audit are kept
    keep_people: Amount = 400 * _DAY  # seconds that tokens and memberships are shown after their end


@dataclass(frozen=True)
class Group:
    """A part of a community, and the share of the community's capacity that it is due."""

    name: str
    share: float = 1.0


@dataclass(frozen=True)
class Community:
    """Who work belongs to, and the share of all capacity that it is due."""

    name: str
    share: float = 1.0
    groups: tuple[Group, ...] = ()
    bundle_keys: tuple[bytes, ...] = ()  # Ed25519 public keys that its bundles are signed with


@dataclass(frozen=True)
class Shares:
    """The section ``[shares]``: how what was used counts against what is due."""

    half_life: int = 7 * _DAY  # seconds after which use counts half


@dataclass(frozen=True)
class ApiToken:
    """A person's or a program's token, known by its digest alone."""

    name: str
    sha256: str
    identity: Identity


@dataclass(frozen=True)
class Site:
    """A place with capacity."""

    name: str


@dataclass(frozen=True)
class Queue:
    """One door into a site: what a pilot started there finds, how many there may be, and how they behave."""

    name: str
    site: str
    kind: str = LOCAL
    slots: int = 1  # pilots at the same time
    max_submit: int = 10  # pilots started in one cycle of the director
    cores: int = 1
    agents: int = 1  # of each pilot, which share its computer
    memory: Amount = None  # bytes
    disk: Amount = None  # bytes
    gpus: tuple[Gpu, ...] = ()
    wall_time: Amount = UNLIMITED  # seconds
    platform: Platform = field(default_factory=Platform)
    tags: tuple[str, ...] = ()
    required_tags: tuple[str, ...] = ()
    communities: tuple[str, ...] = ()
    lease: int = 600
    secret_ttl: int = 3 * _DAY  # seconds that a one-time secret is good for
    idle: int = 300  # seconds after which a pilot without jobs ends
    halting: str = ELASTIC  # of machines without work: elastic, static, never
    billing_period: int = 0  # seconds that a machine is paid by; 0: by the second, or not at all
    price: Price | None = None  # of an hour of one of its machines; None: as the cloud says, where it does
    metadata: str = ""  # on VMs: whether payloads may reach the metadata service; empty: guard
    policy: str = ""  # on the node: the site's word, beside that in /etc/pilotage
    drain_file: str = ""  # on the node: touched to have its pilots drain
    work: str = ""  # on the node: the folder that pilots work in; empty: where the computing element says
    slot_users: str = ""  # whom payloads run as where pilots are root: 20000-20063, or names; empty: as the pilot
    resume: bool | None = None  # a monitor that was killed may be followed by another; None: with slot_users
    cache: str = ""  # on the node: where pilots of one user keep what the next ones need not find out again
    reach: tuple[str, ...] = ()  # HOST:PORT, any of which can be reached from a node with a way to the outside
    environment: tuple[tuple[str, str], ...] = ()  # names and values that its pilots start with
    proxy: str = ""  # by which its nodes reach the outside, http://HOST:PORT; empty: as the node's environment says
    no_proxy: tuple[str, ...] = ()  # hosts and domains that they reach without it
    interval: float = 0.0  # seconds between two turns of its director; 0: as usual for the kind
    ssh: Ssh | None = None
    arc: Arc | None = None
    cloud: Cloud | None = None
    credential: VaultName | None = None  # with which its computing element is spoken to
    batch: Batch = field(default_factory=Batch)
    schedd: Schedd = field(default_factory=Schedd)
    settings: protocol.Settings = field(default_factory=protocol.Settings)

    def undecided(self) -> str:
        """What is told of it as long as no director has decided anything."""
        if self.kind == EXTERNAL:
            return "others start its pilots: the central sends none to an external queue"
        return "its director has not looked yet"

    def offer(self) -> Offer:
        """What the director and explain assume of a pilot that starts here: the largest offer of its agents."""
        cores = -(-self.cores // self.agents)
        return Offer(
            site=self.site,
            queue=self.name,
            cores=cores,
            memory=self._share(self.memory, cores),
            disk=self._share(self.disk, cores),
            gpus=self.gpus[: -(-len(self.gpus) // self.agents)],
            seconds_left=self.wall_time,
            platform=self.platform,
            tags=self.tags,
            required_tags=self.required_tags,
            communities=self.communities,
            isolation=bool(self.slot_users),
            empty=self.agents == 1,
        )

    def _share(self, amount: Amount, cores: int) -> Amount:
        """What goes with so many of the cores."""
        return amount * cores // self.cores if isinstance(amount, int) else amount


@dataclass(frozen=True)
class CentralSettings:
    """Everything that an operator decides."""

    service: Service = Service()
    communities: tuple[Community, ...] = ()
    tokens: tuple[ApiToken, ...] = ()
    sites: tuple[Site, ...] = ()
    queues: tuple[Queue, ...] = ()
    shares: Shares = Shares()
    limits: tuple[Limit, ...] = ()
    pipelines: tuple[Layer, ...] = ()
    login: Login | None = None  # with an identity provider
    certificates: CertificateLogin | None = None  # without either nobody logs in, API tokens alone count

    def queue(self, name: str) -> Queue | None:
        return next((queue for queue in self.queues if queue.name == name), None)


def workers_problem(workers: int, database: str) -> str | None:
    """Why so many processes cannot serve on that database; None: they can."""
    if workers > 1 and not is_postgresql(database):
        return (
            f"expected 1 with SQLite, got {workers}: one process has the file {database} for itself; several share"
            ' a PostgreSQL database: database = "postgresql://user@host/name"'
        )
    return None


def is_postgresql(database: str) -> bool:
    """Whether the setting `database` is the address of a PostgreSQL, and not a file."""
    return database.startswith(("postgresql://", "postgres://"))
