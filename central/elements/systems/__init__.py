"""Batch systems: how each is told to take, list and end jobs, and what its answers mean. All of it is pure."""
