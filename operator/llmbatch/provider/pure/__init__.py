"""What the provider's answers mean: ids, pages, batches, files, refusals, shortages, and what of their words may be
shown.

Pure. What is read here tolerantly is believed nowhere else: an answer is compared with what was asked for.
"""
