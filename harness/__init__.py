"""Builds, boots and checks small Linux images; see docs/architecture.md for the way from YAML to verdict."""

__version__ = "0.1.0"
