"""Many runs: what differs between them, where they run, and the table of their results."""
