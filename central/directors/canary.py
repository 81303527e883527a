"""One pilot that is sent to see what becomes of it: the journal has it, and it drains before it has begun.

The director of the queue submits it like any other in its next turn, whatever waits. A pilot that drains gets no job.
"""

from __future__ import annotations

import hashlib
import secrets

from central import aftermath
from central.app import Central
from central.configuration.settings import Queue
from central.directors.plan import plan_of
from central.directors.pricing import tariff


async def send(central: Central, queue: Queue, who: str) -> str:
    """Have one sent. Returns its stamp."""
    stamp = secrets.token_hex(16)
    unknown = hashlib.sha256(secrets.token_bytes(32)).hexdigest()  # whoever submits it gives it a secret
    price = tariff(queue, queue.price) if queue.price else None
    await central.store.plan_pilot(plan_of(queue).intent(stamp, unknown, price))
    await aftermath.drained(central, await central.store.pilot(stamp), f"a test, by {who}")
    return stamp
