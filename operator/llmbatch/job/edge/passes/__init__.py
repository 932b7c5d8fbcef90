"""One pass over a job that was observed: decide and act for its one batch, or for each of several, and say how it ends."""
