"""What runs did, worked out from their outputs: as figures, as text, and as a page."""
