"""Outer computing elements: where directors submit pilots. One port, one contract, and an adapter for each kind."""
