"""Conda environments without conda: solved and linked by rattler, kept in the environment store."""
