"""Outcomes and results, the output lines they become, and reading those lines back."""
