"""Eight exercises: see README.md."""
