"""The ten checks: laws and published results that a right implementation must reproduce, one room for each."""
