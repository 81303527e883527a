"""User-data: what makes a virtual machine of any cloud a pilot, by cloud-init; checked before it is sent."""
