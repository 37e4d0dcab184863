"""Publishing: a night's files become one transaction in the warehouse."""

from __future__ import annotations

from pigeon_rec.nightly.publish.publisher import PublishSummary, promote_night, publish_night

__all__ = ["PublishSummary", "promote_night", "publish_night"]
