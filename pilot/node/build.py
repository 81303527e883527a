"""What a program must be built for to run here: architecture and its level, C library, system; and tags of the CPU."""

from __future__ import annotations

from typing import Optional

from pilot.node.machine import Machine
from pilot.protocol import Fact

#: The flags of /proc/cpuinfo that make each level of x86-64, from the psABI's table; the kernel's names differ a little
#: (pni is SSE3, cx16 CMPXCHG16B, abm LZCNT, xsave stands for OSXSAVE).
_LEVELS = (
    ("lm", "cmov", "cx8", "fpu", "fxsr", "mmx", "syscall", "sse", "sse2"),
    ("cx16", "lahf_lm", "popcnt", "pni", "sse4_1", "sse4_2", "ssse3"),
    ("avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"),
    ("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"),
)
#: Tag → the flag that proves it.
_FLAG_TAGS = {"avx": "avx", "avx2": "avx2", "avx512": "avx512f"}
TAGS = (*(f"tag:{name}" for name in _FLAG_TAGS), "tag:arm")


def parse_cpuinfo(text: str) -> dict[str, str]:
    """`/proc/cpuinfo`: what it says of the first CPU."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.partition(":")
        if not separator:
            if found:
                break
            continue
        found.setdefault(name.strip(), value.strip())
    return found


def microarch(flags: str) -> Optional[int]:
    """The level of x86-64 that these flags make, None below the first."""
    have = set(flags.split())
    level = 0
    for wanted in _LEVELS:
        if not have.issuperset(wanted):
            break
        level += 1
    return level or None


def parse_os_release(text: str) -> Optional[str]:
    """`/etc/os-release`: ID and VERSION_ID, as "debian 12"."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            values[name] = value.strip("\"'")
    if not values.get("ID"):
        return None
    return f"{values['ID']} {values.get('VERSION_ID', '')}".strip()


def platform(machine: Machine) -> tuple[Fact, ...]:
    """The facts that make the platform of an offer."""
    system = machine.system
    release = parse_os_release(machine.read("/etc/os-release") or machine.read("/usr/lib/os-release") or "")
    return (
        Fact("arch", system.arch, "uname"),
        _microarch_fact(machine),
        Fact("glibc", system.glibc, "the C library" if system.glibc else "the C library is another, or does not tell"),
        Fact("os", release, "os-release" if release else "no os-release that names it"),
        Fact("kernel", system.kernel, "uname"),
        Fact("host", system.host, "uname"),
        Fact("python", system.python, "the interpreter"),
    )


def _microarch_fact(machine: Machine) -> Fact:
    if machine.system.arch != "x86_64":
        return Fact("microarch", None, f"levels are not defined for {machine.system.arch}")
    flags = _cpu(machine).get("flags")
    if flags is None:
        return Fact("microarch", None, "no flags in /proc/cpuinfo")
    return Fact("microarch", microarch(flags), "flags of /proc/cpuinfo")


def cpu(machine: Machine) -> tuple[Fact, ...]:
    """The CPU's name, and the tags that its flags prove. What could not be read is unknown, not absent."""
    about = _cpu(machine)
    name = about.get("model name") or about.get("Model") or None
    flags = about.get("flags", about.get("Features"))
    facts = [Fact("cpu", name, "/proc/cpuinfo" if name else "no model name in /proc/cpuinfo")]
    for tag, flag in _FLAG_TAGS.items():
        if flags is None:
            facts.append(Fact(f"tag:{tag}", None, "no flags in /proc/cpuinfo"))
        else:
            facts.append(Fact(f"tag:{tag}", flag in flags.split(), "flags of /proc/cpuinfo"))
    facts.append(Fact("tag:arm", machine.system.arch.startswith(("aarch64", "arm")), "uname"))
    return tuple(facts)


def _cpu(machine: Machine) -> dict[str, str]:
    return parse_cpuinfo(machine.read("/proc/cpuinfo") or "")
