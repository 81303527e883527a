"""What there is in the OpenStack of tests: objects.py PHASE PLACE PORT RELAY

catalogue: where the services are, in the region RegionOne; and once more in the region Relayed, where Nova is behind a
           port at which a test may listen. Before Nova starts.
account:   a project with a user, an application credential that may do no more than that user's role, flavors, an
           image, networks, a security group and a key. PLACE/account.json says what they are.
awake:     asks Neutron for its networks: only after such a question does it understand one about ports, which Nova
           asks when it finds machines that were left. Before Nova starts.
ready:     waits until Nova has a hypervisor to start machines on.

Runs under Debian's Python.
"""

import json
import os
import sys
import time
from pathlib import Path

import openstack
from openstack.connection import Connection

FLAVORS = (("pilot.small", 1, 1024, 2), ("pilot.large", 2, 2048, 4), ("pilot.impossible", 1, 1024, 10_000_000))
#: A key that nobody has the other half of.
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f operator"


def connected(url: str, name: str, password: str, project: str) -> Connection:
    return openstack.connect(
        auth_url=url,
        username=name,
        password=password,
        project_name=project,
        user_domain_id="default",
        project_domain_id="default",
        region_name="RegionOne",
    )


def catalogue(admin: Connection, port: int, relay: int) -> None:
    urls = {
        "placement": f"http://127.0.0.1:{port + 1}",
        "image": f"http://127.0.0.1:{port + 2}",
        "network": f"http://127.0.0.1:{port + 3}",
        "compute": f"http://127.0.0.1:{port + 4}/v2.1",
    }
    admin.identity.create_region(id="Relayed")
    for kind, url in urls.items():
        service = admin.identity.create_service(type=kind, name=f"the-{kind}")  # a name that nobody looks for
        relayed = url.replace(str(port + 4), str(relay))
        for region, there in (("RegionOne", url), ("Relayed", relayed)):
            for interface in ("public", "internal", "admin"):
                admin.identity.create_endpoint(service_id=service.id, interface=interface, url=there, region_id=region)


def account(admin: Connection, url: str, place: Path, password: str) -> None:
    project = admin.identity.create_project(name="pilots", domain_id="default")
    member = admin.identity.find_role("member")
    user = admin.identity.create_user(
        name="director", password=password, domain_id="default", default_project_id=project.id
    )
    admin.identity.assign_project_role_to_user(project, user, member)
    for name, cores, memory, disk in FLAVORS:
        admin.compute.create_flavor(name=name, vcpus=cores, ram=memory, disk=disk)
    theirs = connected(url, "director", password, "pilots")
    credential = theirs.identity.create_application_credential(user=user.id, name="pilotage")
    image = theirs.image.create_image(
        name="plain", disk_format="raw", container_format="bare", data=b"\0" * 1024, wait=True
    )
    networks = {}
    for name, cidr in (("pilots", "10.99.0.0/24"), ("private", "10.98.0.0/24")):
        network = theirs.network.create_network(name=name)
        theirs.network.create_subnet(name=name, network_id=network.id, ip_version=4, cidr=cidr, enable_dhcp=False)
        networks[name] = network.id
    theirs.network.create_security_group(name="pilots")
    theirs.compute.create_keypair(name="operator", public_key=KEY)
    told = {
        "url": url,
        "credential": {"id": credential.id, "secret": credential.secret},
        "project": project.id,
        "image": image.id,
        "networks": networks,
        "admin": password,
    }
    with open(os.open(place / "account.json", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(told, file, indent=1)


def ready(admin: Connection) -> None:
    end = time.monotonic() + 60
    while not [one for one in admin.compute.hypervisors(details=True) if one.state == "up"]:
        if time.monotonic() > end:
            sys.exit("no hypervisor came up")
        time.sleep(0.5)


def main() -> None:
    phase, place, port, relay = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    url = f"http://127.0.0.1:{port}/v3"
    password = (place / "password").read_text()
    admin = connected(url, "admin", password, "admin")
    if phase == "catalogue":
        catalogue(admin, port, relay)
    elif phase == "account":
        account(admin, url, place, password)
    elif phase == "awake":
        list(admin.network.networks())
    else:
        ready(admin)


if __name__ == "__main__":
    main()
