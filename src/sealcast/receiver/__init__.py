"""The receiver: the session that opens, sinks, and the loop that listens."""
