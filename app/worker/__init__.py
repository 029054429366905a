"""One worker's share of the work: the fold of each partition number with its store, and what leaves it."""
