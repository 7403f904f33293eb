"""Container images: resolved to what they hold, built from Dockerfiles, described, kept apart."""
