"""Who gets in: identical pictures set aside, splits by hash, classes evened out, a place in a logical shard for each."""
