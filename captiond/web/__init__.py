"""Web: HTTP routes."""
