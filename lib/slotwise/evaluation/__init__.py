"""What a model's answers are worth: pure arithmetic over logits and labels, summed shard by shard."""
