"""The backend whose calls are made by worker processes.

    source --> window --> dealer ====> workers, each a pipeline with a pipe at either end
                 ^                                             |
                 +---- sink <---- blocks of records, in order -+

In the process that reads and writes, `coordinator` is the backend, `dealt_records` deals records
and settles them, `workforce` keeps the workers alive, and `worker` is one of them; they come from a
`crew`, and `limits` grants them their shares.  `spawn` starts a process, and `child` runs in it,
made of the parts in `member`.
"""
