"""Real boards: their consoles, their power, and whose turn it is."""
