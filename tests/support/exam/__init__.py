"""The exam: the engine against simulated servers that throttle and fail, in virtual time."""
