"""The device's database: one SQLite file per account."""
