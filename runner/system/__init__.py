"""Processes, files, git: the only code that touches them by hand."""
