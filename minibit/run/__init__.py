"""A run as a whole, pure: what is planned of it, and what it came to."""
