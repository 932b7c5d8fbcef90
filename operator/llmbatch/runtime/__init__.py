"""What keeps the operator going: watch, cache, work queue, passes and their shares, threads, election, metrics, probes.

Decides about no job and no gateway.
"""
