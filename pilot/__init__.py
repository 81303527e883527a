"""The standalone agent: everything that travels to a node."""

__version__ = "0.1.0"
