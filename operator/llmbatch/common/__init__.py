"""Tools without a subject: texts, delays, merge patches.

Pure: no clock, no wire, no cluster; nothing here knows what a batch is.
"""
