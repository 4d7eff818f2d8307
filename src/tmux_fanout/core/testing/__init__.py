"""Tests of a configuration: parsing them, judging their outcome, and reporting it."""
