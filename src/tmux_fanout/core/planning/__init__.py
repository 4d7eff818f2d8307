"""Plan a run: how APIs answer, what a part of the run says of all of it, and the plan itself."""
