"""Benchmarks: each compares two ways in one run, on this machine, and says which bar it holds.

`python -m benchmarks` runs all of them; `python -m benchmarks.publish` one. `--scale 0.1` makes
everything a tenth, `--json` prints one object. A module takes part by offering
`measure(folder: Path, scale: float) -> Result`.
"""
