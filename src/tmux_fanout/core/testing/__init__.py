"""Tests of a configuration: what they state, whether it holds, and how that is reported."""
