"""Dealing records to members (worker processes), and settling those that are lost."""
