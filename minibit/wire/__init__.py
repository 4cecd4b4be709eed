"""How messages stand on a connection, pure: bytes in, messages out."""
