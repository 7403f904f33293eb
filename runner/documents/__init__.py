"""Files that people write, read into values: every finding with its place."""
