"""Owns nothing but the start: a Python that finds this folder on its path guards its keys as the tests do."""

from keyguard.watch import guard_this_program

guard_this_program()
