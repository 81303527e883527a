"""Payloads as processes: started, held together, measured, and ended with all that they started."""
