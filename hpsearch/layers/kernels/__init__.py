"""What a GPU does in one kernel instead of many, in Triton: one file a kind of layer."""
