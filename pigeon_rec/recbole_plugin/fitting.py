"""Training of the wrapper: the base as RecBole trains it alone, then the weight of the visuals."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from recbole.utils import calculate_valid_score

from pigeon_rec.errors import ConfigError
from pigeon_rec.recbole_plugin.checkpoints import read_checkpoint, write_weight
from pigeon_rec.recbole_plugin.validation import choose_weight

__all__ = ["fit_and_choose"]


def fit_and_choose(
    fit: Callable[[], tuple[float, Any]], trainer: Any, valid_data: Any, *, saved: bool
) -> tuple[float, Any]:
    """Trains a wrapper whose weight is learned; the weight is 0 until the training is over.

    The weight is chosen for the saved epoch, which the base's own validation metric picks, and
    written into the checkpoint. Afterwards the model has the parameters that RecBole's `fit` leaves
    it with, those of the last epoch, and the chosen weight.

    Args:
        fit: RecBole's own `fit`, with its arguments bound.
        trainer: RecBole's trainer.
        valid_data: Loader of the validation data; without any, the weight is 0.
        saved: Whether `fit` writes a checkpoint.

    Returns:
        RecBole's validation score and metrics, with the chosen weight.

    Raises:
        ConfigError: The run is distributed over several processes.
    """
    if not trainer.config["single_spec"]:
        raise ConfigError(
            "pigeon_visual_weight cannot be learned in a run of several processes",
            location="pigeon_visual_weight",
            remedy="Learn it in one process, then set the number",
        )
    score, result = fit()
    if not valid_data:
        trainer.logger.warning(
            "Visuals: without validation data the weight of the visuals is 0; set "
            "pigeon_visual_weight to a number"
        )
        trainer.model.visual_weight.fill_(0.0)
        return score, result
    checkpoint = Path(trainer.saved_model_file)
    if saved and checkpoint.is_file():
        with _parameters_of(checkpoint, trainer.model):
            choice = choose_weight(trainer, valid_data)
        write_weight(checkpoint, choice.weight)
        trainer.model.visual_weight.fill_(choice.weight)
    else:
        choice = choose_weight(trainer, valid_data)
    return calculate_valid_score(choice.result, trainer.valid_metric), choice.result


@contextmanager
def _parameters_of(checkpoint: Path, model: Any) -> Iterator[None]:
    """Within its block, a model has the parameters of a checkpoint."""
    before = {
        name: value.clone() if isinstance(value, torch.Tensor) else value
        for name, value in model.state_dict().items()
    }
    beside = model.base.other_parameter()
    state = read_checkpoint(checkpoint)
    try:
        model.load_state_dict(state["state_dict"])
        model.load_other_parameter(state["other_parameter"])
        yield
    finally:
        model.load_state_dict(before)
        model.base.load_other_parameter(beside)
