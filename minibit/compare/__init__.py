"""Many runs: what to vary, who runs them, and the table of what they came to."""
