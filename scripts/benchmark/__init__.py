"""Measures the system against a bare pipeline of the same libraries; run by scripts/bench."""
