"""Version of the package, read without importing anything else."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
