"""Statistics of a run, and the summaries made of them."""
