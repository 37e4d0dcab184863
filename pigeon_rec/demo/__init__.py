"""The two bundled worlds, stickers and films: artwork, simulated users and held-out pairs.

Packages find a world by its name, through `pigeon_rec.data.world`; only the command line, tests and
benchmarks import this one.
"""
