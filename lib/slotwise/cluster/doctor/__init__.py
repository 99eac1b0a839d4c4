"""What is looked at on a cluster before the first run on it, and what is made of it."""
