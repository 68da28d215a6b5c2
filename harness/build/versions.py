"""Raise one when the same inputs shall give other bytes: what older code made is then made anew, not mixed in."""

LAYER = 3
KERNEL = 2
IMAGE = 7
