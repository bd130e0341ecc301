"""What a run does inside its own process: one module per kind of scenario.

A workload takes the peer's adapter, the file and the number of records, and returns a
dict: `value` (the figure) and `expected` (records logged, by address), as far as they
apply, and `problem` if something went wrong that the file doesn't show.
"""
