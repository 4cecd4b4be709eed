"""A push as a whole, pure: what is asked for, of which nodes, how far it is, and what it came to."""
