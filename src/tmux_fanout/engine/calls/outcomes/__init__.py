"""What becomes of calls: another attempt, a wait while an API is unwell, or an outcome."""
