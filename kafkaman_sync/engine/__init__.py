"""Pure: a device's states, session, outbox and backoff."""
