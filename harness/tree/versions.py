"""Raise one when the same inputs shall give other bytes: what older code made is then made anew, not mixed in."""

LAYER = 7
OCI_LAYER = 3
KERNEL = 5
ROOT = 4
IMAGE = 22
LOADERS = 1
