"""Lets `python -m sealcast.cli` be the command line, where the script is not installed."""

from sealcast.cli.main import main

main()
