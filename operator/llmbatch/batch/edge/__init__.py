"""Ordering a batch exactly once (intent, call, fact), finding it again, polling it, and leaving no other at the
provider.

Every write about a batch compares. What is done with results is the job's.
"""
