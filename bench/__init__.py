"""Speed, measured: `python -m bench`. Its own load generator, its ceiling, the gateway as it is started in production.

Rule: what is printed was measured in this run, on this machine, with fsync on. Nothing is written into the repository.
"""
