"""Run the tests of a configuration: the real engine, simulated APIs, virtual time."""
