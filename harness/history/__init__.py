"""The history of runs: their figures over time, baselines and floors, in SQLite or PostgreSQL."""

from harness.history.store import History, RunHead

__all__ = ["History", "RunHead"]
