"""What is at a provider, read once for all jobs of a gateway.

`Readings` are its list of batches, page by page as far as anybody asks; `Rounds` compare them with what is known of the
batches under way, once in a poll interval, and have only those jobs looked at of whose batch there is news.
Nothing here writes to the provider or to the cluster, and nothing is believed that a single look could not tell better.
"""
