"""Notices: who tells that the machine will be wanted for something else, or that its time ends."""
