"""A hypervisor for Nova whose machines are guests of QEMU; all else is that of Nova's fake one.

Nova writes the real config drive, and Neutron gives out the addresses: QEMU's user network pretends to be their subnet,
of which the host's loopback interface is the gateway. OPENSTACK_GUEST is the folder with what boots.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import nova.conf
from nova.api.metadata import base
from nova.compute import power_state
from nova.virt import configdrive, fake
from nova.virt.hardware import InstanceInfo

IMAGE = Path(os.environ["OPENSTACK_GUEST"])
APPEND = "root=/dev/vda console=ttyS0 net.ifnames=0 quiet nokaslr mitigations=off random.trust_cpu=1"


class GuestDriver(fake.FakeDriver):
    vcpus, memory_mb, local_gb = 8, 16384, 200

    def spawn(
        self,
        context,
        instance,
        image_meta,
        injected_files,
        admin_password,
        allocations,
        network_info=None,
        block_device_info=None,
        power_on=True,
        accel_info=None,
    ):
        super().spawn(
            context, instance, image_meta, injected_files, admin_password, allocations, network_info, block_device_info
        )
        folder = _folder(instance)
        folder.mkdir(parents=True, exist_ok=True)
        metadata = base.InstanceMetadata(instance, content=injected_files, network_info=network_info)
        with configdrive.ConfigDriveBuilder(instance_md=metadata) as drive:
            drive.make_drive(str(folder / "config"))
        overlay = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(IMAGE / "root.ext4")]
        subprocess.run([*overlay, str(folder / "disk")], check=True)
        with open(folder / "errors", "ab") as errors:
            guest = subprocess.Popen(
                _command(instance, folder, network_info or []),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                start_new_session=True,
            )
        (folder / "pid").write_text(str(guest.pid))

    def get_info(self, instance, use_cache=True):
        return InstanceInfo(state=power_state.RUNNING if _runs(instance) else power_state.SHUTDOWN)

    def power_off(self, instance, timeout=0, retry_interval=0):
        _end(instance)

    def destroy(
        self, context, instance, network_info, block_device_info=None, destroy_disks=True, destroy_secrets=True
    ):
        _end(instance)
        super().destroy(context, instance, network_info, block_device_info, destroy_disks)
        subprocess.run(["rm", "-rf", "--", str(_folder(instance))], check=True)

    def get_console_output(self, context, instance):
        try:
            return (_folder(instance) / "console").read_bytes()
        except FileNotFoundError:
            return b""


def _folder(instance):
    return Path(nova.conf.CONF.instances_path) / instance.uuid


def _command(instance, folder, network_info):
    command = [
        *("qemu-system-x86_64", "-name", instance.name, "-uuid", instance.uuid),
        *("-accel", "tcg,thread=multi,tb-size=256", "-M", "pc", "-cpu", "qemu64,-svm"),
        *("-m", str(instance.flavor.memory_mb), "-smp", str(instance.flavor.vcpus)),
        *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-smbios", "type=1,manufacturer=OpenStack Foundation,product=OpenStack Nova"),
        *("-kernel", str(IMAGE / "vmlinuz"), "-initrd", str(IMAGE / "initrd.img"), "-append", APPEND),
        *("-serial", f"file:{folder}/console"),
        *("-drive", f"if=virtio,format=qcow2,cache=unsafe,file={folder}/disk"),
        *("-drive", f"if=virtio,format=raw,readonly=on,file={folder}/config"),
    ]
    for number, port in enumerate(network_info):
        address = port.fixed_ips()[0]["address"]
        net = f"user,id=n{number},net=10.99.0.0/24,host=10.99.0.1,dns=10.99.0.2,dhcpstart={address}"
        command += ["-netdev", net, "-device", f"virtio-net-pci,romfile=,netdev=n{number},mac={port['address']}"]
    return command


def _pid(instance):
    """Of its guest while that runs."""
    try:
        pid = int((_folder(instance) / "pid").read_text())
        os.waitpid(pid, os.WNOHANG)  # one of ours that has ended is a zombie until it is asked
    except (FileNotFoundError, ValueError):
        return None
    except ChildProcessError:
        pass  # started before this Nova
    try:
        told = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid if instance.uuid.encode() in told else None


def _runs(instance):
    return _pid(instance) is not None


def _end(instance):
    pid = _pid(instance)
    if pid is None:
        return
    os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 10
    while _runs(instance):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
