"""What this machine is: found by probes, each value with its source, and unknown where nobody can tell."""

from pilot.node.discovery import Declared, Discovery

__all__ = ["Declared", "Discovery"]
