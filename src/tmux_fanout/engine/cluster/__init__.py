"""Worker processes on the machines of a cluster.

    coordinator --> Worker --> Remote ====> relay --> pipes --> child
                                   (network)    (one on each machine)

`crew` decides who takes part, and `remote` is one of them as a process with two ends of pipes.
Both know a cluster by the protocols of `remote` only; `dask` is the one there is.
"""
