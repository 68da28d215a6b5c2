"""The one place that knows both drivers: an Image and a machine in, a running System out."""

from harness.launch.exact import ExactPair, exact_pair
from harness.launch.start import boot

__all__ = ["ExactPair", "boot", "exact_pair"]
