"""What `--live` changes while a run lasts."""
