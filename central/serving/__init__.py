"""HTTP: a request's way to its handler and back, and the processes that serve."""
