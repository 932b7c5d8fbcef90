"""JSON lines: cutting a stream into them, checking and rewriting those of an input, judging and joining those of a
result.

Pure. A line comes in as bytes and goes out as bytes or as a judgement; where it is from, and where it is kept, is the
transfer's.
"""
