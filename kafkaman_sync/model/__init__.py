"""What syncs, and the rules both sides share: entities, changes, order, digest. No I/O."""
