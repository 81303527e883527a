"""Brings files to storages of every kind that a job may name, and fetches inputs from them."""
