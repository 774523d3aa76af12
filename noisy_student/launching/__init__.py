"""A training on several devices or processes: what this machine gives to it, and what starts and watches its processes.

`settings` reads launch.yaml; `launcher` starts the processes of a stage, called ranks, and starts all of them anew
where one dies; `rank` is such a process; `ranks` is what it knows of the others. None of them imports a framework.
"""
