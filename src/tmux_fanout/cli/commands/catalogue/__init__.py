"""Commands that show what there is to choose from."""
