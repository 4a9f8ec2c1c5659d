"""Whole processes: the launcher, start-up, and programs that must not notice."""
