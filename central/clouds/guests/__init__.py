"""Guests of this host as a cloud: containers with an init of their own, and emulated machines."""
