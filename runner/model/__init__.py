"""The values that travel down the line, in the order they appear on it. No I/O."""
