"""A finished run's model over images on executors: loaded once per Python worker, fed as training fed it."""
