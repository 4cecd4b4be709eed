"""Run one swarm: make or take content, give it to so many peers, and say what it came to.

    python experiments/run_swarm.py --peers 50

The same as `minibit swarm`, from a clone.
"""

from __future__ import annotations

from minibit.cli import main

if __name__ == "__main__":
    main("swarm", program="run_swarm.py")
