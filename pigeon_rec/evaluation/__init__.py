"""Measuring the pictures: judges apart from the scorer, methods side by side, honest intervals.

The scorer (`pigeon_rec.scoring.scorer`) chooses among candidates, so it may not also say how good
the choice was. The judges here have another architecture, other seeds and another split of the
artwork, and their own accuracy on real held-out artwork stands beside every result.
"""
