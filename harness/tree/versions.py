"""Raise one when the same inputs shall give other bytes: what older code made is then made anew, not mixed in."""

LAYER = 9
OCI_LAYER = 4
KERNEL = 6
ROOT = 4
IMAGE = 26
LOADERS = 2
