"""`./run bench`: the project's figures, measured, judged against their goals, and kept in docs/measurements.md."""
