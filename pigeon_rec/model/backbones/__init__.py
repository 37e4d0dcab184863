"""Backbones: whatever draws candidates for requests, behind one Protocol.

Nothing is re-exported: `pigeon_rec.model.backbones.kinds` must be importable without torch.
"""
