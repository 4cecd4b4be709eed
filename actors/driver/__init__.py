"""What runs in the driver's process: it starts a swarm, waits for it, looks at it and ends it."""

import os

# before Ray is imported, for it reads these once
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # else every worker is started through uv
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
