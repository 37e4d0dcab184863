"""Loads the backbone that a setting names."""

from __future__ import annotations

from pathlib import Path

from pigeon_rec.config import BackboneConfig
from pigeon_rec.model.backbones.kinds import check_options, kind_of
from pigeon_rec.model.backbones.own import load_own
from pigeon_rec.model.backbones.pigeon import PigeonBackbone
from pigeon_rec.model.backbones.protocol import Backbone
from pigeon_rec.model.loading import load_pipeline
from pigeon_rec.model.paths import model_folder
from pigeon_rec.placement import Placement

__all__ = ["load_backbone"]


def load_backbone(
    model: str | Path,
    placement: Placement | None = None,
    options: BackboneConfig | None = None,
) -> Backbone:
    """Loads a backbone of any kind.

    Args:
        model: Name of a bundled model, folder of a model, or `module:function`.
        placement: Devices and dtype; float32 on the CPU by default.
        options: Options of a kind other than Pigeon.

    Raises:
        ModelError: There is no such model, a file is missing or does not fit, or the placement is
            not possible.
        ConfigError: The kind has no such option, or the function is unusable.
    """
    kind, options, placement = kind_of(model), options or BackboneConfig(), placement or Placement()
    check_options(kind, options)
    if kind == "function":
        return load_own(str(model), placement)
    folder = model_folder(model)
    if kind == "ip_adapter":
        from pigeon_rec.model.backbones.ip_adapter import IPAdapterBackbone

        return IPAdapterBackbone.load(folder, placement, options)
    if kind == "janus":
        from pigeon_rec.model.backbones.janus import JanusBackbone

        return JanusBackbone.load(folder, placement, options)
    return PigeonBackbone(load_pipeline(model, placement=placement), model)
