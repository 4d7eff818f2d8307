"""Outcomes and results, their output lines, and reading those back."""
