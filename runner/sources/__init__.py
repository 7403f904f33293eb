"""Ways of turning a reference into a working tree."""
