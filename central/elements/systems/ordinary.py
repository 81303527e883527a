"""What most batch systems have in common."""

from __future__ import annotations

from central.elements.system import Call, Door


class Ordinary:
    """One whose nodes see the folder of a pilot, so that nothing is fetched, and whose list loses ended jobs by itself.

    Its submit program goes on trying for a while when its central has died: hence the lag.
    """

    lag = 60.0
    shared = True

    def __init__(self, door: Door) -> None:
        self.door = door

    def fetch(self, folder: str, reference: str) -> Call | None:
        return None

    def forget(self, reference: str) -> Call | None:
        return None

    def _where(self, partition: str, account: str) -> list[str]:
        """The partition and the account of the queue's settings, after options of these names."""
        named = ((partition, self.door.partition), (account, self.door.account))
        return [word for option, value in named if value for word in (option, value)]
