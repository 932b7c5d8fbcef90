"""What to do next with a job, and how that shows in its conditions.

Pure: an observation goes in, a decision comes out.
"""
