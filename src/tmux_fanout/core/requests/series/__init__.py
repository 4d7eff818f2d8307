"""Calls of several requests in a row: the pages of a list, and the polls of a job."""
