"""One pilot that is sent to see what becomes of it: the journal has it, and it drains before it has begun. A queue has
one such at a time.

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
from central.people import SiteAdmins


async def send(central: Central, queue: Queue, who: str, admins: SiteAdmins | None) -> str:
    """Have one sent. Returns its stamp. Raises ``conflict`` while another lives; where a site's admin asks, with
    `admins`, ``forbidden`` while somebody else has paused the queue or banned its site."""
    stamp = secrets.token_hex(16)
    unknown = hashlib.sha256(secrets.token_bytes(32)).hexdigest()  # whoever submits it gives it a secret
    price = tariff(queue, queue.price) if queue.price else None
    await central.store.plan_test(plan_of(queue).intent(stamp, unknown, price), admins=admins)
    await aftermath.drained(central, await central.store.pilot(stamp), f"a test, by {who}")
    return stamp
