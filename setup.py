"""The build of the compiled rooms (minibit/compiled.py), which is asked for by MINIBIT_COMPILED=1.

    make compiled                                             # in a clone
    MINIBIT_COMPILED=1 pip install .                          # in an environment of yours

Without it there is nothing to build here, and `pyproject.toml` says all.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
BUILD = ROOT / "build" / "mypyc"

# what compiled rooms know by name only, to check types: to read it would take minutes
TYPES = """
[mypy]
strict = true
explicit_package_bases = true
[mypy-ray.*,minibit.actors.*,minibit.cli.*,minibit.compare.*,minibit.lab.*,minibit.run.options]
follow_imports = skip
"""


class InTheirFolder(build_ext):
    """Puts the modules where only minibit/compiled.py finds them, and beside them what they were made from."""

    def get_ext_fullpath(self, ext_name: str) -> str:
        """The path of a module."""
        return str(Path(self.build_lib, "minibit", "_compiled", self.get_ext_filename(ext_name)))

    def run(self) -> None:
        """Build all, then the digest: a build that was broken off has none."""
        if self.editable_mode:
            self.inplace, self.build_lib = False, str(ROOT)
        stamp = Path(self.build_lib, "minibit", "_compiled", compiled["DIGEST"])
        stamp.unlink(missing_ok=True)
        super().run()
        stamp.write_text(f"{made_from}\n")


settings: dict[str, Any] = {}
if os.environ.get("MINIBIT_COMPILED") == "1":
    compiled = runpy.run_path(str(ROOT / "minibit" / "compiled.py"))
    made_from = compiled["digest"](ROOT / "minibit")  # before they are read: sources may change meanwhile
    settings = {"cmdclass": {"build_ext": InTheirFolder}}
    try:
        from mypyc.build import mypycify
    except ImportError:  # pip asks what the build needs, and calls again with that
        settings["setup_requires"] = ["mypy>=1.11"]
    else:
        os.chdir(ROOT)
        BUILD.mkdir(parents=True, exist_ok=True)
        (BUILD / "types.ini").write_text(TYPES)
        rooms = [f"minibit/{room.replace('.', '/')}.py" for room in compiled["ROOMS"]]
        arguments = [f"--config-file={BUILD / 'types.ini'}", f"--cache-dir={BUILD / 'cache'}", *rooms]
        group = compiled["GROUP"].removesuffix("__mypyc")
        modules = mypycify(arguments, debug_level="0", target_dir=str(BUILD), group_name=group)
        for module in modules:
            module.extra_compile_args.append("-fvisibility=hidden")  # so that functions can call each other directly
        settings["ext_modules"] = modules

setup(**settings)
