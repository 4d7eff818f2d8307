"""A run: the pipeline from source to sink, and the backend that makes the calls in this process."""
