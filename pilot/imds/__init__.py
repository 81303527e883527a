"""Payloads and the metadata service of a cloud: cut off from it, and tried whether that holds, as a payload would."""

#: Facts of what was found: whether payloads reach it, and the tag that jobs name.
GUARDED = ("imds_exposed", "tag:imds_exposed")
