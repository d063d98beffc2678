"""Pure: the wire's limits, messages and codec."""
