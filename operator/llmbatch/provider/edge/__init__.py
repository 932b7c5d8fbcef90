"""Calls to the provider over HTTP: connections, time limits, bodies, and what became of a call.

No call is repeated here, and none is decided on. Credentials are resolved here and never shown. Knows no Kubernetes.
"""
