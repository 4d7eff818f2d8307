"""Turn bytes into records: decompress, split into lines or rows, parse."""
