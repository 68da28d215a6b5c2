"""Raise one when the same inputs shall give other bytes: what older code made is then made anew, not mixed in."""

LAYER = 5
OCI_LAYER = 1
KERNEL = 4
IMAGE = 17
