"""What tests need that make hosts of network namespaces."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest


def need_namespaces() -> None:
    """Skip the test, with the reason, where there can't be any."""
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces take root, and the command ip (iproute2)")
    space = f"mb{os.getpid()}-try"
    probe = subprocess.run(["ip", "netns", "add", space], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"no network namespaces here: {probe.stderr.strip()}")
    subprocess.run(["ip", "netns", "del", space], check=True)
