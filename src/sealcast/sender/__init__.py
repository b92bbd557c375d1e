"""The sender: sources, pacing, the session that seals, and the loop that sends."""
