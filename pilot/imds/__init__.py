"""Payloads and the metadata service of a cloud: cut off from it, and tried whether that holds, as a payload would."""
