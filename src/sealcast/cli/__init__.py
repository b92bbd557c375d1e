"""The command line: one file for each noun, and one place where errors become a line and a status."""
