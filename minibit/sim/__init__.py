"""The simulation: the same peers and tracker in virtual time, in one process, with bandwidth, latency and faults."""

from minibit.run.scenario import Scenario
from minibit.sim.simulation import Simulation

__all__ = ["Scenario", "Simulation"]
