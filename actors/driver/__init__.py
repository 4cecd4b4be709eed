"""What runs in the driver's process: it starts a swarm, waits for it, looks at it and ends it."""
