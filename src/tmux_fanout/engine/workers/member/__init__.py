"""The parts of a worker process: its source and its sink, its reports, its share of the limits."""
