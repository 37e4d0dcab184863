"""Pigeon's parts, one module each, and the pipeline that joins them (arXiv 2410.14170, section 3).

Nothing is re-exported: `pigeon_rec.model.version` and `paths` must be importable without torch.
"""
