"""Inputs and answers that nobody would write, held against a model that is too simple to be wrong."""
