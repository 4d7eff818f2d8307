"""The calls of each API: queue, slots, attempts, retries, hedges and batches."""
