"""How `make test` runs pytest: the fast tests first, then those on a cluster, which is left as it was found."""
