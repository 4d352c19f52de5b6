"""Nine exercises: see README.md."""
