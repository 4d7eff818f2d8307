"""What a record makes of its calls: their order, their fallbacks, and how many of them it needs."""
