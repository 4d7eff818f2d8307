"""The window and the reorder buffer: admission and output order."""
