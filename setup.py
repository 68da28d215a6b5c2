"""What pyproject.toml has no key for: cases and machines lie at the top here, and inside the package once installed."""

from setuptools import find_namespace_packages, setup

SHIPPED = {"harness._shipped.cases": "cases", "harness._shipped.machines": "machines"}

setup(packages=[*find_namespace_packages(include=["harness*"]), *SHIPPED], package_dir=dict(SHIPPED))
