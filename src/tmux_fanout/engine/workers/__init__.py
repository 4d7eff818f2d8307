"""A run whose calls are made by several processes.

    source --> admission --> dealer ====> processes, each an engine with a pipe at either end
                  ^                                              |
                  +---- window <---- sink <---- portions, in order

`dealt` is the run of the process that reads and writes, `process` how it knows one of the others,
`starting` how that begins, and `child` what it does.
"""
