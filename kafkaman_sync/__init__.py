"""kafkaman sync: API collections, environments and run results, the same on every device."""
