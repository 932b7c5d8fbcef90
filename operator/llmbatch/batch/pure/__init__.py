"""What is known of a batch and its file, and how it comes to be ordered: observation, facts, the rules up to the create
call.

Pure. What is true of the job as a whole (verdict, conditions, deletion) is not here.
"""
