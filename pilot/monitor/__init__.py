"""The monitor: small, started first, alone speaks to the central, and survives what happens to agents and payloads."""
