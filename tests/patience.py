"""How long tests wait for what must come."""

#: How many times longer than a quiet machine a busy one may take. It is not what is tested: what must come does come.
PATIENCE = 4
