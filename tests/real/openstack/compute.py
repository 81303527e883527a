"""All of Nova in one process: API, conductor, scheduler and compute, so that calls between them go through memory.

    compute.py --config-file FILE

Every class is Nova's own. Runs under Debian's Python.
"""

import nova.monkey_patch  # noqa: I001 before everything else, as Nova's own programs do
import sys
from pathlib import Path

import nova.conf
import nova.virt
import os_vif
from nova import config, objects, service
from nova.compute import rpcapi as compute
from nova.conductor import rpcapi as conductor
from nova.scheduler import rpcapi as scheduler
from oslo_log import log
from oslo_service.service import ServiceLauncher


def main() -> None:
    # Drivers of hypervisors are looked up in this package alone.
    nova.virt.__path__.append(str(Path(__file__).resolve().parent / "drivers"))
    config.parse_args(sys.argv)
    log.setup(nova.conf.CONF, "nova")
    objects.register_all()
    os_vif.initialize()
    objects.Service.enable_min_version_cache()
    launcher = ServiceLauncher(nova.conf.CONF)
    for part, topic in (("conductor", conductor), ("scheduler", scheduler), ("compute", compute)):
        launcher.launch_service(service.Service.create(binary=f"nova-{part}", topic=topic.RPC_TOPIC))
    launcher.launch_service(service.WSGIService("osapi_compute"))
    launcher.wait()


if __name__ == "__main__":
    main()
