"""Log streams that people at other centrals read: their pilots push more often, and they are told of every chunk."""

from __future__ import annotations

from central.clock import Clock
from central.several.gossip import Followed, Gossip, Grown

#: Seconds for which a central is believed to have the readers that it said it has; it repeats itself more often.
BELIEVED = 25.0
REPEATED = 10.0
#: Streams that a central says it has readers of.
MOST = 1000


class Elsewhere:
    """What the log store of one central knows of the readers at others, and tells these."""

    def __init__(self, gossip: Gossip, clock: Clock) -> None:
        self._gossip = gossip
        self._clock = clock
        self._readers: dict[str, tuple[float, frozenset[tuple[str, str]]]] = {}  # central → until, streams
        self._told: tuple[float, frozenset[tuple[str, str]]] = (float("-inf"), frozenset())

    def now(self) -> float:
        return self._clock.now()

    def hear(self, sender: str, word: Followed) -> None:
        """A central says what is read there."""
        if word.streams:
            self._readers[sender] = self._clock.now() + BELIEVED, frozenset(word.streams)
        else:
            self._readers.pop(sender, None)

    def streams(self) -> frozenset[tuple[str, str]]:
        """Those (stamp, stream) that somebody reads at another central."""
        if not self._readers:
            return frozenset()
        now = self._clock.now()
        for sender in [sender for sender, (until, _) in self._readers.items() if until < now]:
            del self._readers[sender]
        return frozenset().union(*(streams for _, streams in self._readers.values()))

    def grown(self, stamp: str, stream: str) -> None:
        """A stream has more bytes here, or has closed."""
        if self._readers and (stamp, stream) in self.streams():
            self._gossip.say(Grown(stamp, stream))

    def announce(self, streams: frozenset[tuple[str, str]]) -> None:
        """Tell the others what is read here, when that has changed and now and then."""
        told, before = self._told
        if streams != before or (streams and self._clock.now() - told > REPEATED):
            self._told = self._clock.now(), streams
            self._gossip.say(Followed(tuple(sorted(streams)[:MOST])))
