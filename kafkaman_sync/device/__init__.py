"""What runs on a device: link, daemon, control socket and paths."""
