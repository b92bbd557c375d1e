"""The steps from one database schema to the next, oldest first; a released step never changes."""
