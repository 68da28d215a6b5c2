"""Pages for people: what a run found, and what became of its figures over time, each as one HTML file."""
