"""Let ``python -m runner`` behave like ``runproj``."""

from runner.cli.main import entry

entry()
