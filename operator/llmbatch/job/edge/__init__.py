"""One pass over a job: observe once, decide once, act once, publish once.

The only place that writes a BatchJob's status, but for what is about its batch.
"""
