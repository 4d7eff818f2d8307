"""Units and money: what attempts reserve, what they spend, and on what."""
