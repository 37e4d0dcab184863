"""Benchmarks: each measures alternatives side by side and checks the figures against bars.

`python -m benchmarks` runs all of them, `python -m benchmarks.publish` one. `--scale 0.1` makes the
data a tenth as large, `--json` prints one object. A module is a benchmark if it has a function
`measure(folder: Path, scale: float) -> Result`.
"""
