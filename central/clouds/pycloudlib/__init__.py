"""Machines by way of pycloudlib, whose licence is the GPL 3: an extra, imported by `lxd.py` alone."""
