"""Hosted execution: a model in a process of its own, shared by all web workers, that may die without harm."""
