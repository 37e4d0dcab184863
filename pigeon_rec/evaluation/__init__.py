"""Evaluation: compares methods by independent judges, with confidence intervals.

The scorer (`pigeon_rec.scoring.scorer`) chooses among candidates, so it must not be the only
measure of the result. The judges have another architecture, other seeds and another split of the
artwork; their accuracy on real held-out artwork is reported with every result.
"""
