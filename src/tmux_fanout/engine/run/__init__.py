"""A run: the pipeline from source to sink, and the backend that makes calls in this process."""
