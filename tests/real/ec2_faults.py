"""A proxy before moto's EC2 that has what Amazon's has and moto has not: keys that are checked, client tokens, types
that do not exist, no capacity, quotas, a price that a bid does not reach, throttling, answers that are lost, lists that
lag, machines that shut themselves down, and spot machines that are taken back.

    python ec2_faults.py MOTO PORT_FILE     MOTO: its URL; PORT_FILE: where to write the port on 127.0.0.1

`POST /control` takes JSON with some of the fields of `Faults`, `GET /control` has them all, with what was asked last;
`POST /control/end` takes {"id": …, "reason": …}: that machine ends, for a reason of EC2's; `POST /control/reset` begins
anew, since moto takes a tenth of a second to list each machine that it ever had. Standard library alone.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree

#: The one key that is let in.
KEY = "AKIAEXAMPLE"
HEADERS = ("Authorization", "Content-Type", "X-Amz-Date", "X-Amz-Security-Token", "User-Agent")
#: The types that there are here: of all 800 moto tells in many seconds.
TYPES = ("c5.large", "c5.xlarge", "m5.large", "t3.micro", "t3.small")
NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/"


@dataclass
class Faults:
    """What goes wrong, until it is told otherwise."""

    refuse: dict[str, str] = field(default_factory=dict)  # action → the code that it is answered with
    throttle: int = 0  # so many of the next requests
    lose: bool = False  # the answers to creations, after they were done
    deaf: bool = False  # nothing is answered
    lag: float = 0.0  # seconds for which a new machine is missing from lists
    spot: float = 0.0  # the price of a spot machine's hour
    prices: list[list[object]] = field(default_factory=list)  # of the market: [seconds since the epoch, price, zone]


class Cloud:
    """What the proxy knows, beside moto."""

    def __init__(self, moto: str) -> None:
        self.moto = urlsplit(moto)
        self.faults = Faults()
        self.asked: dict[str, dict[str, str]] = {}  # action → the parameters that it was asked with last
        self.created: dict[str, float] = {}  # id → when
        self.ends: dict[str, str] = {}  # id → reason
        self.tokens: dict[str, tuple[str, bytes]] = {}  # client token → what was asked for, and the answer
        self.signed: dict[str, str] = {}  # the headers of the last request
        self.lock = threading.RLock()

    def reset(self) -> None:
        """Nothing goes wrong, and nothing is there but what every account has."""
        self.forward(b"", {}, "/moto-api/reset")
        self.faults = Faults()
        for known in (self.asked, self.created, self.ends, self.tokens):
            known.clear()

    def forward(self, body: bytes, headers: dict[str, str], path: str = "/") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.moto.hostname or "", self.moto.port, timeout=30)
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def answer(self, asked: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """What EC2 would say; a creation is done by one after another."""
        action = asked.get("Action", "")
        with self.lock:
            self.asked[action] = asked
            if self.faults.throttle > 0:
                self.faults.throttle -= 1
                return 503, error("RequestLimitExceeded", "Request limit exceeded.")
            if action in self.faults.refuse:
                code = self.faults.refuse[action]
                return 500 if code.startswith("Insufficient") else 400, error(code, f"This is {code}.")
            if action == "RunInstances":
                return self.run_instances(asked, body)
        if action == "DescribeSpotPriceHistory" and self.faults.prices:
            return 200, self.price_history(asked)
        if action == "DescribeInstanceTypes":
            body += "".join(f"&InstanceType.{number}={name}" for number, name in enumerate(TYPES, 1)).encode()
        status, text = self.forward(body, self.signed)
        if action == "DescribeInstances" and status == 200:
            return self.described(asked, text)
        return status, text

    def run_instances(self, asked: dict[str, str], body: bytes) -> tuple[int, bytes]:
        token = asked.get("ClientToken", "")
        unsigned = {name: value for name, value in asked.items() if name != "ClientToken"}
        what = hashlib.sha256(json.dumps(unsigned, sort_keys=True).encode()).hexdigest()
        if token in self.tokens:
            before, answer = self.tokens[token]
            if before == what:
                return 200, answer
            return 400, error("IdempotentParameterMismatch", "Arguments on this idempotent request are inconsistent.")
        bid = asked.get("InstanceMarketOptions.SpotOptions.MaxPrice")
        if bid is not None and float(bid) < self.faults.spot:
            return 400, error("SpotMaxPriceTooLow", f"Your Spot request price of {bid} is lower than required.")
        query = {
            "Action": "DescribeInstanceTypes",
            "Version": asked["Version"],
            "InstanceType.1": asked["InstanceType"],
        }
        if self.forward(urlencode(query).encode(), self.signed)[0] != 200:
            return 400, error("InvalidParameterValue", f"Invalid value '{asked['InstanceType']}' for InstanceType.")
        status, text = self.forward(body, self.signed)
        if status == 200:
            self.tokens[token] = (what, text)
            for found in re.findall(rb"<instanceId>(i-[0-9a-f]+)</instanceId>", text):
                self.created[found.decode()] = time.time()
        return status, text

    def described(self, asked: dict[str, str], text: bytes) -> tuple[int, bytes]:
        """Machines as EC2 would list them."""
        tree = ElementTree.fromstring(text)
        late = {id for id, then in self.created.items() if time.time() - then < self.faults.lag}
        if asked.get("InstanceId.1") in late:
            return 400, error("InvalidInstanceID.NotFound", "The instance ID does not exist")
        for items in tree.iter(f"{space(tree)}instancesSet"):
            for item in list(items):
                id = item.findtext("{*}instanceId", "")
                if id in late:
                    items.remove(item)
                elif id in self.ends:
                    tell(item, self.ends[id])
        return 200, ElementTree.tostring(tree)

    def price_history(self, asked: dict[str, str]) -> bytes:
        """Those between the two moments, and of each zone the one that was in force at the first."""
        since, until = (then(asked.get(name, "")) for name in ("StartTime", "EndTime"))
        zone = asked.get("AvailabilityZone")
        known = sorted(((float(str(at)), price, where) for at, price, where in self.faults.prices), reverse=True)
        items, done = [], set()
        for at, price, where in known:
            if at > until or where in done or zone not in (None, where):
                continue
            if at < since:
                done.add(where)
            moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(at))
            items.append(
                f"<item><instanceType>{asked['InstanceType.1']}</instanceType><productDescription>Linux/UNIX"
                f"</productDescription><spotPrice>{price}</spotPrice><timestamp>{moment}</timestamp>"
                f"<availabilityZone>{where}</availabilityZone></item>"
            )
        name = "DescribeSpotPriceHistoryResponse"
        return (
            f'<{name} xmlns="{NAMESPACE}"><spotPriceHistorySet>{"".join(items)}</spotPriceHistorySet></{name}>'.encode()
        )

    def end(self, id: str, reason: str) -> None:
        """The machine ends by itself, or because EC2 wants it back."""
        query = {"Action": "TerminateInstances", "Version": "2016-11-15", "InstanceId.1": id}
        self.ends[id] = reason
        self.forward(urlencode(query).encode(), self.signed)


def error(code: str, message: str) -> bytes:
    told = f"<Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>"
    return f"<Response>{told}<RequestID>00000000</RequestID></Response>".encode()


def space(tree: ElementTree.Element) -> str:
    """The namespace that moto answers in."""
    return tree.tag.partition("}")[0] + "}" if tree.tag.startswith("{") else ""


def then(moment: str) -> float:
    """Seconds since the epoch, of ``2026-11-27T02:33:10Z``."""
    if not moment:
        return time.time()
    return time.mktime(time.strptime(moment[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone


def tell(item: ElementTree.Element, reason: str) -> None:
    """Write into a machine why it has ended."""
    name = space(item)
    for old in item.findall(f"{name}stateReason"):
        item.remove(old)
    told = ElementTree.SubElement(item, f"{name}stateReason")
    ElementTree.SubElement(told, f"{name}code").text = reason
    ElementTree.SubElement(told, f"{name}message").text = f"{reason}: as it was told to"
    state = item.find(f"{name}instanceState")
    if state is not None:
        for field_name, value in (("code", "48"), ("name", "terminated")):
            found = state.find(f"{name}{field_name}")
            if found is not None:
                found.text = value


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cloud: Cloud

    def do_GET(self) -> None:
        if self.path != "/control":
            self._say(403, error("AuthFailure", "Requests of EC2 are posted: a URL is in the logs of proxies."))
            return
        told = asdict(self.cloud.faults) | {"asked": self.cloud.asked}
        self._say(200, json.dumps(told).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if self.path.startswith("/control"):
            self._control(json.loads(body or b"{}"))
            return
        cloud = self.cloud
        while cloud.faults.deaf:
            time.sleep(0.05)
        if f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
            self._say(401, error("AuthFailure", "AWS was not able to validate the provided access credentials"))
            return
        cloud.signed = {name: self.headers[name] for name in HEADERS if name in self.headers}
        asked = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        status, text = cloud.answer(asked, body)
        if cloud.faults.lose and asked.get("Action") == "RunInstances":
            self.close_connection = True
            return
        self._say(status, text)

    def _control(self, told: dict[str, object]) -> None:
        if self.path == "/control/end":
            self.cloud.end(str(told["id"]), str(told["reason"]))
        elif self.path == "/control/reset":
            self.cloud.reset()
        else:
            for name, value in told.items():
                setattr(self.cloud.faults, name, value)
        self._say(200, b"{}")

    def _say(self, status: int, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/xml;charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # who asked has gone: that is what many of these tests are about


def main(moto: str, port_file: Path) -> None:
    Handler.cloud = Cloud(moto)
    with Server(("127.0.0.1", 0), Handler) as server:
        made = port_file.with_suffix(".new")
        made.write_text(str(server.server_port))
        made.rename(port_file)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
