"""Bytes that are kept: logs, sandboxes, checkpoints, backups."""
