"""What the README and the examples show works on a cluster."""
