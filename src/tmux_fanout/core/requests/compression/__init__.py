"""Bodies of requests that are sent compressed."""
