"""Settings, configuration files, and the plan that they resolve to."""
