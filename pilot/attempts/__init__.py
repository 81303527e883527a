"""Attempts on a node: their slots, from lease to report, with files in and files out."""
