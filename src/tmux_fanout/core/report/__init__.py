"""What a run counts, and how that is shown at its end."""
