"""A small central on the loopback interface that speaks the wire, keeps what it hears, and fails when told to.

Not a model of the real one: it is for bad days that the real one cannot be asked to have. `lose` a reply and the
request was carried out; `refuse` it and it was not; while `away`, no connection is answered.
"""

import base64
import datetime
import gzip
import http.server
import ipaddress
import json
import re
import ssl
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pilot import codec, protocol, signatures
from pilot.errors import REFUSALS, Refusal
from tests.patience import PATIENCE

ROUTES = (
    ("enrol", re.compile(r"/v1/pilots/(?P<stamp>[0-9a-f]{32})/enrol"), protocol.EnrolRequest),
    ("resume", re.compile(r"/v1/pilots/(?P<stamp>[0-9a-f]{32})/resume"), protocol.ResumeRequest),
    ("renew", re.compile(r"/v1/pilots/(?P<stamp>[0-9a-f]{32})/renew"), protocol.RenewRequest),
    ("match", re.compile(r"/v1/pilots/(?P<stamp>[0-9a-f]{32})/match"), protocol.MatchRequest),
    ("heartbeat", re.compile(r"/v1/pilots/(?P<stamp>[0-9a-f]{32})/heartbeat"), protocol.HeartbeatRequest),
    ("release", re.compile(r"/v1/pilots/(?P<stamp>[0-9a-f]{32})/release"), protocol.ReleaseRequest),
    ("steps", re.compile(r"/v1/pilots/(?P<stamp>[0-9a-f]{32})/steps"), protocol.StepReport),
    ("bye", re.compile(r"/v1/pilots/(?P<stamp>[0-9a-f]{32})/bye"), protocol.GoodbyeRequest),
    ("report", re.compile(r"/v1/attempts/(?P<job>\d+)/(?P<attempt>\d+)/report"), protocol.AttemptReport),
    ("log", re.compile(r"/v1/logs/(?P<stamp>[0-9a-f]{32})/(?P<stream>[\w.-]+)"), None),
)


class WireCentral:
    """Start it with `with`. What it heard is in plain attributes; wait for something with `until`."""

    def __init__(self, folder: Path, secret: str, settings: protocol.Settings) -> None:
        self.folder = folder
        self.secret = secret
        self.settings = settings
        self.changed = threading.Condition()
        self.key = b""
        self.tokens: dict[str, bool] = {}  # token → still good
        self.nonces: set[str] = set()
        self.waiting: list[protocol.JobSpec] = []
        self.answers: dict[tuple[int, int], protocol.MatchReply] = {}  # agent and number → its answer with leases
        self.leases: dict[tuple[int, int], str] = {}  # attempt → its phase; gone when ended, released or taken away
        self.epoch = 3
        self.last_sequence = 0
        self.resumes: list[protocol.ResumeRequest] = []
        self.left_behind: list[tuple[int, int]] = []  # attempts that a resume has ended
        self.enrolments: list[protocol.EnrolRequest] = []
        self.matches: list[protocol.MatchRequest] = []
        self.heartbeats: list[protocol.HeartbeatRequest] = []
        self.beats_at: list[float] = []
        self.reports: list[tuple[int, int, protocol.AttemptReport]] = []  # each once
        self.repeated: list[tuple[int, int, protocol.AttemptReport]] = []
        self.released: list[protocol.AttemptId] = []
        self.steps: list[protocol.StepReport] = []
        self.goodbyes: list[protocol.GoodbyeRequest] = []
        self.orders: list[protocol.Order] = []
        self.acknowledged: dict[int, dict[str, str]] = defaultdict(dict)  # order → stage → result
        self.logs: dict[str, bytearray] = defaultdict(bytearray)
        self.closed_logs: set[str] = set()
        self.log_requests: list[tuple[str, int, int, str]] = []  # stream, offset, bytes as sent, encoding
        self.followed: tuple[str, ...] = ()
        self.stale: set[tuple[int, int]] = set()
        self.lose: dict[str, int] = defaultdict(int)  # route → replies to lose
        self.refuse: dict[str, list[Refusal]] = defaultdict(list)  # route → refusals to give, in turn
        self.delay: dict[str, float] = {}  # route → seconds
        self.drip: dict[str, float] = {}  # route → seconds from one byte of an answer's body to the next
        self.clock = 0.0  # seconds by which its clock is ahead
        self.beat = 0.5
        self.away = False
        self.connections = 0
        self.jobs = 0
        self.failures: list[str] = []

    # -- its life ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> "WireCentral":
        self.ca, certificate = certificates(self.folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.open()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def open(self, port: int = 0) -> None:
        central = self

        class Handler(_Handler):
            pass

        Handler.central = central
        self.server = _Server(("127.0.0.1", port), Handler)
        self.server.central = central
        self.port = self.server.server_address[1]
        self.url = f"https://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def now(self) -> float:
        return time.time() + self.clock

    def until(self, condition, seconds: float = 60.0, what: str = "") -> None:  # type: ignore[no-untyped-def]
        """Wait until something heard makes the condition true."""
        deadline = time.monotonic() + PATIENCE * seconds
        with self.changed:
            while not condition():
                left = deadline - time.monotonic()
                assert left > 0, f"not in {seconds} s: {what or condition}; {self.failures}"
                self.changed.wait(min(left, 0.2))

    def submit(self, *command: str, **fields: object) -> int:
        """A job that waits. Returns its id."""
        with self.changed:
            self.jobs += 1
            self.waiting.append(protocol.JobSpec(command, name=str(self.jobs), **fields))  # type: ignore[arg-type]
            self.changed.notify_all()
            return self.jobs

    def ended(self) -> dict[tuple[int, int], protocol.AttemptReport]:
        return {(job, attempt): report for job, attempt, report in self.reports if report.phase.value == "ended"}

    def log(self, stream: str) -> bytes:
        return bytes(self.logs[stream])

    # -- what it answers --------------------------------------------------------------------------------------------

    def enrol(self, request: protocol.EnrolRequest, **path: str) -> protocol.EnrolReply:
        self.enrolments.append(request)
        key = base64.b64decode(request.session_key)
        if request.secret != self.secret:
            raise Refusal("secret-expired", "no such secret")
        if self.key and key != self.key:
            raise Refusal("secret-used", "used with another key")
        self.key = key
        return protocol.EnrolReply(self.epoch, self.token(), 3600, self.now(), self.settings)

    def resume(self, request: protocol.ResumeRequest, **path: str) -> protocol.EnrolReply:
        self.resumes.append(request)
        if request.epoch == self.epoch:
            self.epoch += 1
            self.left_behind += self.leases
            self.leases.clear()
            self.answers.clear()
            self.last_sequence = 0
        elif request.epoch != self.epoch - 1:
            raise Refusal("superseded", f"epoch {request.epoch} is over, {self.epoch} is now")
        return protocol.EnrolReply(self.epoch, self.token(), 3600, self.now(), self.settings)

    def token(self) -> str:
        token = f"token-{len(self.tokens)}-of-this-pilot"
        self.tokens[token] = True
        return token

    def renew(self, request: protocol.RenewRequest, **path: str) -> protocol.RenewReply:
        return protocol.RenewReply(self.token(), 3600, self.now())

    def match(self, request: protocol.MatchRequest, **path: str) -> protocol.MatchReply:
        self.matches.append(request)
        key = (request.agent, request.number)
        if key in self.answers:
            return self.answers[key]
        deadline = time.monotonic() + request.wait
        with self.changed:
            while not self.waiting and time.monotonic() < deadline:
                if any(other.agent == request.agent and other.number > request.number for other in self.matches):
                    return protocol.MatchReply(request.number, reason="superseded")
                self.changed.wait(0.05)
            leases = []
            while self.waiting and request.offer.cores and len(leases) < request.most:
                spec = self.waiting.pop(0)
                job = int(spec.name)
                self.leases[job, 1] = "matched"
                leases.append(protocol.Lease(job, 1, self.settings.lease, spec, f"token-of-job-{job}-is-secret", 1))
            reply = protocol.MatchReply(request.number, tuple(leases), None if leases else "nothing-waits")
            if leases:
                self.answers[key] = reply
            return reply

    def heartbeat(self, request: protocol.HeartbeatRequest, **path: str) -> protocol.HeartbeatReply:
        if request.epoch != self.epoch:
            raise Refusal("superseded", f"epoch {request.epoch} is over, {self.epoch} is now")
        if request.sequence <= self.last_sequence:
            self.failures.append(f"heartbeat {request.sequence} after {self.last_sequence}")
        self.last_sequence = request.sequence
        self.heartbeats.append(request)
        self.beats_at.append(time.monotonic())
        listed = {(lease.job, lease.attempt) for lease in request.leases}
        for (agent, number), answer in self.answers.items():
            for lease in answer.leases if number <= request.matched_through.get(str(agent), 0) else ():
                attempt = (lease.job, lease.attempt)
                if attempt in self.leases and attempt not in listed:
                    del self.leases[attempt]
                    self.failures.append(f"{attempt} of answer {number} was not listed")
        for one in request.acknowledgements:
            self.acknowledged[one.order][one.stage] = one.result
        return protocol.HeartbeatReply(
            request.sequence,
            tuple(protocol.LeaseRenewal(*attempt, 600 if attempt in self.leases else 0) for attempt in sorted(listed)),
            tuple(order for order in self.orders if "received" not in self.acknowledged[order.id]),
            self.beat,
            self.followed,
            server_time=self.now(),
        )

    def report(self, request: protocol.AttemptReport, job: str, attempt: str) -> protocol.Accepted:
        which = (int(job), int(attempt))
        known = [report for *ids, report in self.reports if tuple(ids) == which]
        if request in known:
            self.repeated.append((*which, request))
            return protocol.Accepted()
        if which not in self.leases:
            raise Refusal("stale-attempt", f"{which} is not the current attempt")
        self.reports.append((*which, request))
        self.leases[which] = request.phase.value
        if request.phase.value == "ended":
            del self.leases[which]
        return protocol.Accepted()

    def release(self, request: protocol.ReleaseRequest, **path: str) -> protocol.Accepted:
        for lease in request.leases:
            if self.leases.pop((lease.job, lease.attempt), None):
                self.released.append(lease)
        return protocol.Accepted()

    def step(self, request: protocol.StepReport, **path: str) -> protocol.Accepted:
        self.steps.append(request)
        return protocol.Accepted()

    def bye(self, request: protocol.GoodbyeRequest, **path: str) -> protocol.Accepted:
        self.goodbyes.append(request)
        return protocol.Accepted()

    def push(self, stream: str, offset: int, body: bytes, last: bool) -> protocol.LogReply:
        had = self.logs[stream]
        if offset > len(had):
            raise Refusal("gap", f"{len(had)} bytes are there", expected=str(len(had)))
        had += body[len(had) - offset :]
        if last:
            self.closed_logs.add(stream)
        return protocol.LogReply(len(had), stream in self.followed)


class _Server(http.server.ThreadingHTTPServer):
    central: WireCentral
    daemon_threads = True

    def get_request(self):  # type: ignore[no-untyped-def]
        connection, address = super().get_request()
        if self.central.away:
            connection.close()
            raise OSError("away")
        self.central.connections += 1
        return connection, address

    def finish_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        request.settimeout(60)
        with self.central.context.wrap_socket(request, server_side=True) as connection:
            super().finish_request(connection, client_address)

    def handle_error(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        pass  # a pilot that was killed, or a connection that we cut


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # an answer is one packet
    central: WireCentral

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.answer()

    def do_PUT(self) -> None:
        self.answer()

    def answer(self) -> None:
        central = self.central
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        target = urlsplit(self.path)
        route, kind, path = _routed(target.path)
        time.sleep(central.delay.get(route, 0.0))
        if central.away:
            self.close_connection = True
            return
        try:
            with central.changed:
                if route != "enrol":
                    self.verify(body, renewing=route in ("resume", "renew", "heartbeat", "report", "bye"))
                if central.refuse[route]:
                    raise central.refuse[route].pop(0)
            reply = self.carry_out(route, kind, path, target.query, body)
        except Refusal as refusal:
            drip = central.drip.get(route, 0.0)
            self.send(REFUSALS[refusal.type].status, "application/problem+json", _problem(refusal), drip)
        else:
            with central.changed:
                lost = central.lose[route] > 0
                central.lose[route] -= lost
            if lost:
                self.close_connection = True
            else:
                self.send(200, "application/json", codec.dumps(reply), central.drip.get(route, 0.0))
        with central.changed:
            central.changed.notify_all()

    def carry_out(self, route, kind, path, query, body):  # type: ignore[no-untyped-def]
        central = self.central
        if route == "match":  # may be held, so it locks for itself
            return central.match(codec.loads(kind, body), **path)
        with central.changed:
            if route == "log":
                words = parse_qs(query)
                encoding = self.headers["Content-Encoding"]
                central.log_requests.append((path["stream"], int(words["offset"][0]), len(body), encoding))
                content = gzip.decompress(body) if encoding == "gzip" else body
                return central.push(path["stream"], int(words["offset"][0]), content, "last" in words)
            return getattr(central, "step" if route == "steps" else route)(codec.loads(kind, body), **path)

    def verify(self, body: bytes, renewing: bool) -> None:
        """As the real one does: token, signature, time, and nothing twice."""
        central = self.central
        headers = {name.lower(): value for name, value in self.headers.items()}
        signed = signatures.read(headers)
        token = headers["authorization"].removeprefix("Pilot ")
        if token not in central.tokens:
            raise Refusal("unauthorized", "no such token")
        signatures.verify(signed, central.key, self.command, self.path, body, headers, now=central.now())
        if signed.nonce in central.nonces:
            central.failures.append(f"nonce {signed.nonce} came twice")
            raise Refusal("replayed", "this nonce was here before")
        central.nonces.add(signed.nonce)
        if not central.tokens[token] and not renewing:
            raise Refusal("token-expired", "renew it")

    def send(self, status: int, kind: str, body: bytes, drip: float = 0.0) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for part in [bytes([byte]) for byte in body] if drip else [body]:
            self.wfile.write(part)
            self.wfile.flush()
            time.sleep(drip)


def _routed(path: str) -> tuple[str, Any, dict[str, str]]:
    for name, pattern, kind in ROUTES:
        if found := pattern.fullmatch(path):
            return name, kind, found.groupdict()
    raise AssertionError(f"no pilot asks for {path}")


def _problem(refusal: Refusal) -> bytes:
    problem = protocol.Problem(
        refusal.type,
        status=REFUSALS[refusal.type].status,
        detail=refusal.detail,
        retry_after=refusal.retry_after,
        server_time=refusal.server_time,
        expected=refusal.expected,
    )
    return json.dumps(codec.encode(problem)).encode()


def certificates(folder: Path) -> tuple[Path, Path]:
    """A certificate authority, and a key with a certificate for 127.0.0.1 that it signed. Returns the two files."""
    now = datetime.datetime.now(datetime.UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test's authority")])

    def certificate(name: x509.Name, public: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(ca_name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
        )

    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca = (
        certificate(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    server = (
        certificate(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test's central")]), key.public_key())
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "server.pem").write_bytes(private + server.public_bytes(pem))
    return folder / "ca.pem", folder / "server.pem"
