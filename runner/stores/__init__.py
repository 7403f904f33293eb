"""Tracking stores."""
