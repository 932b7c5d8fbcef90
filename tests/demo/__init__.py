"""The demo: a cluster, the operator with an emulated gateway, and a batch of five requests from end to end."""
