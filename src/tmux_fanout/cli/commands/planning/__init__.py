"""The `plan` command."""
