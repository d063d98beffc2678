"""The `kafkaman` command."""
