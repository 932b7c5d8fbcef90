"""The transfer at work: upload, collect, put together, discard.

Runs in a pod or a thread, and never imports Kubernetes.
"""
