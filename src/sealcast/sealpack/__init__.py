"""Packages: content in authenticated chunks, shares of its key, licences."""
