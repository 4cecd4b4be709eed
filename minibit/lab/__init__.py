"""The laboratory: records of a run, real or simulated, as tables, pictures and words.

It reads records and computes nothing about the protocol itself.
"""

from minibit.lab.folder import load
from minibit.lab.run import Run

__all__ = ["Run", "load"]
