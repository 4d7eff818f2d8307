"""Dealing records to members (worker processes), and what becomes of those that are lost."""
