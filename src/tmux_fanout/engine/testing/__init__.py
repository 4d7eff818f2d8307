"""Run the tests of a configuration: the real engine, replies that are stated, virtual time."""
