"""Run the engine on this machine alone: virtual time, records and lines in memory."""
