"""Many channels in one process: each kept running by itself, all on one event loop."""
