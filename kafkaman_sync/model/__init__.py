"""Pure: entities, changes, merge, ordering and digest."""
