"""What a program is told before it starts: settings, places on disk, logging."""
