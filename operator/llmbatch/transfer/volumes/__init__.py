"""Files in volumes: folders that are reached without being left, files that appear whole, and what is said when neither can be.

Knows nothing of inputs and results, of providers or of the cluster.
"""
