"""The transfers of a job, as the operator runs them: transfer Jobs, threads, and the places for the results.

What moves the bytes is llmbatch.transfer; here it is started, watched, and taken away.
"""
