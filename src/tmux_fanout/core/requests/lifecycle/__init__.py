"""What an API says of its own future."""
