"""The wire: messages, and the codec that turns them into bytes and back. No I/O."""
