"""A BatchJob: from its input to its verdict."""
