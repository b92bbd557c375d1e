"""The composition root: authentication and roles, health, metrics, and what crosses features."""
