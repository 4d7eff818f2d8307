"""A run as curl commands, with secrets as placeholders."""
