"""One batch at the provider: what is true of it, and exactly one of it."""
