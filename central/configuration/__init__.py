"""The settings: read whole, checked, one frozen record."""
