"""Writing a dataset: every sample into its logical shard, checked, then renamed into place."""
