"""The search for the best settings: its space, what chooses in it, and what comes of it."""
