"""The API server: the client, its clock, Events, and every permission that the operator uses.

The one place that touches the kubernetes package. Knows our objects by their names only.
"""
