"""Moving an input to the provider and results back; in a pod for volumes, in a thread of the operator for other places.

Never imports Kubernetes.
"""
