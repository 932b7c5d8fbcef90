"""The transfer at work: upload, collect, discard; volumes that are reached without being left; files that appear whole.

Runs in a pod or a thread, and never imports Kubernetes.
"""
