"""Image bytes for candidates: fetched from URLs through a cache, or taken from rows that hold them; all normalised."""
