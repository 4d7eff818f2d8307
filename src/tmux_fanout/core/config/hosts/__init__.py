"""Settings of APIs whose hosts come from records."""
