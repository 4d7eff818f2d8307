"""The command `test`: the tests of a configuration."""
