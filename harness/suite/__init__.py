"""The pytest plugin's parts: cells, what they are scheduled by, the guests they share, and what is told of them."""
