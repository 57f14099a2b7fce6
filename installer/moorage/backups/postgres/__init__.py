"""A Postgres server's databases as dumps: taken in one snapshot, restored into an empty database, compared row for row."""
