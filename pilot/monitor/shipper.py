"""Pushes logs to the central: chunks by stream and offset, soon when somebody reads, never in anybody's way."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Callable, Optional

from pilot.backoff import Backoff
from pilot.errors import Refusal, TransportError
from pilot.masking import Secrets, owner, owner_of
from pilot.monitor.central_client import LogChunk
from pilot.monitor.kept_logs import KeptLogs
from pilot.monitor.steadfast import steadfast
from pilot.monitor.stream import LogStream
from pilot.protocol import MAX_BOOT_LOG, LogReply, attempt_stream

#: Bytes of one chunk before compression.
CHUNK = 256_000
#: Seconds between pushes of a stream that somebody follows.
FOLLOWED_INTERVAL = 0.5
#: Seconds between looks at the files.
LOOK = 0.25
#: Streams kept at once, an open file each; beyond, the oldest that is closed is given up.
MAX_STREAMS = 500
#: The pilot's own streams; those of payloads go before them.
OWN = ("boot", "pilot")
#: Refusals after which a stream is given up; after any other it is tried again.
FINAL = frozenset({"too-large", "not-yours", "stale-attempt", "not-found", "forbidden", "invalid", "conflict"})


class _Sending:
    """A stream, and when it was pushed."""

    def __init__(self, stream: LogStream) -> None:
        self.stream = stream
        self.owner = owner_of(stream.name)
        self.pushed = float("-inf")
        self.not_before = float("-inf")
        self.followed = False
        self.failures = 0


class Shipper:
    """The streams of one pilot. `turn` sends what is due; everything else only changes what is, and never waits.

    `send` may raise `TransportError` and `Refusal`; `interval` is in seconds, `bound` in bytes of one stream.
    """

    def __init__(
        self,
        send: Callable[[LogChunk], LogReply],
        secrets: Secrets,
        *,
        interval: float,
        bound: int,
        steady: Callable[[], float],
        rng: Callable[[], float],
        say: Callable[[str], None],
        kept: Optional[KeptLogs] = None,
    ) -> None:
        self.send = send
        self.secrets = secrets
        self.interval = interval
        self.bound = bound
        self.steady = steady
        self.rng = rng
        self.say = say
        self.kept = kept
        self._not_kept: set[Optional[str]] = set()  # attempts whose logs another monitor could not mask
        self._backoff = Backoff(rng)
        self._streams: dict[str, _Sending] = {}
        self._lengths: dict[str, dict[str, int]] = {}  # owner → stream → bytes, of what was closed
        self._wake = threading.Event()
        self._lock = threading.Lock()
        self._flush = False
        self._not_before = float("-inf")

    # -- what is to be pushed ---------------------------------------------------------------------------------------

    def add(self, name: str, path: Path) -> None:
        """Push this file from now on."""
        bound = min(self.bound, MAX_BOOT_LOG) if name == "boot" else self.bound
        stream = LogStream(name, path, bound, lambda: self.secrets.of(owner_of(name)))
        with self._lock:
            if name in self._streams:
                return
            self._streams[name] = _Sending(stream)
            too_many = self._oldest_closed() if len(self._streams) > MAX_STREAMS else None
        # Opened now: its directory may be gone before its last bytes are pushed.
        stream.measure()
        self._keep(name, path)
        if too_many is not None:
            self._give_up(too_many, f"more than {MAX_STREAMS} logs wait to be pushed")
        self._wake.set()

    def take_up(self) -> None:
        """Push what an earlier monitor has left: nothing more is written to any of it."""
        for name, path in self.kept.found().items() if self.kept is not None else ():
            self.add(name, path)
            self.close(name)

    def credentials_in(self, job: int, attempt: int) -> None:
        """The logs of this attempt may show credentials. To be called before it begins."""
        if self.kept is not None and not self.kept.secret(owner(job, attempt)):
            self._not_kept.add(owner(job, attempt))

    def _keep(self, name: str, path: Path) -> None:
        """See that a monitor in our place finds it too."""
        if self.kept is not None and name not in OWN and owner_of(name) not in self._not_kept:
            self.kept.keep(name, path)

    def close(self, name: str) -> None:
        """Nothing more will be written to it."""
        with self._lock:
            sending = self._streams.get(name)
        if sending is not None:
            sending.stream.close()
            length = sending.stream.length
            if sending.owner is not None and length:
                with self._lock:
                    self._lengths.setdefault(sending.owner, {})[name] = length
            self._wake.set()

    def close_attempt(self, job: int, attempt: int) -> dict[str, int]:
        """Close both logs of an attempt. Returns the bytes that each will have at the central, without empty ones."""
        for kind in ("stdout", "stderr"):
            self.close(attempt_stream(job, attempt, kind))
        with self._lock:
            lengths = self._lengths.get(owner(job, attempt), {})
            return {name: length for name, length in lengths.items() if name.endswith(("-stdout", "-stderr"))}

    def forget(self, job: int, attempt: int) -> None:
        """The attempt is over; its secrets are kept for as long as one of its logs is on its way."""
        with self._lock:
            self._lengths.pop(owner(job, attempt), None)
        self._forget_secrets(owner(job, attempt))

    def close_all(self) -> None:
        """The pilot ends: whatever there is, is all there will be."""
        with self._lock:
            streams = [sending.stream for sending in self._streams.values()]
        for stream in streams:
            stream.close()
        self._wake.set()

    def follow(self, names: Iterable[str]) -> None:
        """These streams, and no others, are being read by somebody."""
        followed = frozenset(names)
        with self._lock:
            for name, sending in self._streams.items():
                sending.followed = name in followed
        self._wake.set()

    def flush(self) -> None:
        """Push all that there is now, whatever the interval."""
        self._flush = True
        self._wake.set()

    @property
    def waiting(self) -> tuple[str, ...]:
        """Names of the streams that are not at their end."""
        with self._lock:
            return tuple(self._streams)

    # -- pushing ----------------------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Push until told to stop. At the end of a pilot `close_all` goes before, and `waiting` says what is left."""
        while not stop.is_set():
            self._wake.clear()
            self._wake.wait(steadfast("the push of logs", self.turn, self.say))

    def wake(self) -> None:
        self._wake.set()

    def turn(self) -> float:
        """Send at most one chunk of each stream that is due. Returns the seconds until the next look."""
        now = self.steady()
        if now < self._not_before:
            return self._not_before - now
        flush, self._flush = self._flush, False
        with self._lock:
            in_order = sorted(self._streams.values(), key=lambda sending: sending.stream.name in OWN)
        soon = False
        for sending in in_order:
            if not sending.stream.closed:
                sending.stream.measure()
            if not self._due(sending, flush):
                continue
            try:
                soon = self._push(sending) or soon
            except TransportError as error:
                self._flush = flush
                return self._away(error)
        if self._backoff.failures:
            self._backoff.succeeded()
        return 0.0 if soon else LOOK

    def _due(self, sending: _Sending, flush: bool) -> bool:
        stream = sending.stream
        if stream.finished:
            self._remove(sending)
            return False
        now = self.steady()
        if now < sending.not_before:
            return False
        if stream.closed or stream.ready >= CHUNK:
            return True
        interval = min(FOLLOWED_INTERVAL, self.interval) if sending.followed else self.interval
        return stream.ready > 0 and (flush or now - sending.pushed >= interval)

    def _push(self, sending: _Sending) -> bool:
        """Send one chunk. Whether there is more to send at once."""
        stream = sending.stream
        offset, data = stream.sent, stream.read(CHUNK) if stream.ready > 0 else b""
        last = stream.closed and offset + len(data) >= stream.length
        if not data and not last:
            return False
        body, encoding = _packed(data)
        try:
            reply = self.send(LogChunk(stream.name, offset, body, encoding, last))
        except Refusal as refusal:
            return self._refused(sending, refusal)
        sending.pushed = self.steady()
        sending.followed = reply.followed
        sending.failures = 0
        if not stream.rewind(reply.next):
            return self._give_up(sending, f"the central expects offset {reply.next} of {stream.length}")
        stream.told_last = last and stream.sent >= stream.length
        if stream.finished:
            self._remove(sending)
            return False
        return stream.closed or stream.ready >= CHUNK

    def _refused(self, sending: _Sending, refusal: Refusal) -> bool:
        if refusal.type in FINAL:
            return self._give_up(sending, str(refusal))
        sending.failures += 1
        if refusal.type == "gap" and (refusal.expected or "").isdigit() and sending.failures < 10:
            if not sending.stream.rewind(int(refusal.expected or "0")):
                return self._give_up(sending, f"the central lacks bytes that are gone here: {refusal}")
            return True
        backoff = Backoff(self.rng)
        backoff.failures = sending.failures
        sending.not_before = self.steady() + backoff.failed(refusal.retry_after)
        return False

    def _away(self, error: TransportError) -> float:
        wait = self._backoff.failed()
        self._not_before = self.steady() + wait
        if self._backoff.failures in (1, 10):
            self.say(f"logs wait, the central cannot be reached: {error}")
        return wait

    def _give_up(self, sending: _Sending, why: str) -> bool:
        self.say(f"the log {sending.stream.name} is pushed no further than byte {sending.stream.sent}: {why}")
        self._remove(sending)
        return False

    def _remove(self, sending: _Sending) -> None:
        with self._lock:
            self._streams.pop(sending.stream.name, None)
        sending.stream.drop()
        if self.kept is not None:
            self.kept.gone(sending.stream.name)
        if sending.owner is not None:
            self._forget_secrets(sending.owner)

    def _forget_secrets(self, whose: str) -> None:
        with self._lock:
            on_its_way = any(sending.owner == whose for sending in self._streams.values())
        if not on_its_way:
            self.secrets.forget(whose)
            if self.kept is not None:
                self.kept.no_secret(whose)

    def _oldest_closed(self) -> Optional[_Sending]:
        return next((sending for sending in self._streams.values() if sending.stream.closed), None)


def _packed(data: bytes) -> tuple[bytes, str]:
    """The bytes as they travel, and their encoding: compressed where that pays."""
    if len(data) >= 512:
        packer = zlib.compressobj(4, wbits=31)  # 31: with the frame of gzip
        packed = packer.compress(data) + packer.flush()
        if len(packed) < 0.9 * len(data):
            return packed, "gzip"
    return data, "identity"
