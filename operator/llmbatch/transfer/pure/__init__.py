"""What a transfer is asked (plan), what it answers (report), how both are named, the Job that runs it as a manifest,

and how far such a Job is, read from what the API server says of it. Pure.
"""
