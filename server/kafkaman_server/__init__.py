"""The server: orders changes, keeps them, and fans them out."""
