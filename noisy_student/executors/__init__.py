"""Work that is a map over shards, on one process, on several, or on a cluster; the files that come out are the same.

- `tasks`: what a shard's task is, and how it is done wherever that is.
- `settings`: which executor this machine uses; no parameter of a stage, for it changes no result.
- `running`: all tasks of a stage, with progress; what fails is named when the rest is done.
- `local`, `ray`: the executors. Each has `results`, which yields an `Outcome` a task, in any order.
"""
