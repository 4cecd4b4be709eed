"""Content on disk: what is shared, and the copies that peers make."""
