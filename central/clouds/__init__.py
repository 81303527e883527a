"""Clouds as computing elements: a virtual machine is a pilot, and goes the same way as those of batch systems."""
