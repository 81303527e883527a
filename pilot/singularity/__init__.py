"""Payloads in containers: the runtime that is here, what it can do, its arguments, its images."""
