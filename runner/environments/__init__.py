"""Ways of locking and building environments."""
