"""Tells trackers of experiments (TensorBoard, MLflow) the metrics of a run, through accelerate."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from accelerate import Accelerator
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker
from accelerate.utils import is_mlflow_available, is_tensorboard_available

from pigeon_rec.errors import TrainingError

__all__ = ["Tracker", "Tracking", "check_trackers", "new_trackers"]

logger = logging.getLogger(__name__)

Tracker = Literal["tensorboard", "mlflow"]

_EXPERIMENT: Final = "pigeon_rec"
_INSTALLED: Final[Mapping[Tracker, Callable[[], bool]]] = {
    "tensorboard": is_tensorboard_available,
    "mlflow": is_mlflow_available,
}


def check_trackers(names: Sequence[Tracker]) -> None:
    """Checks that the packages of the trackers are installed.

    Raises:
        TrainingError: One is not.
    """
    missing = [name for name in names if not _INSTALLED[name]()]
    if missing:
        raise TrainingError(
            f"not installed: {', '.join(missing)}",
            location="trackers",
            remedy=f"`pip install {' '.join(missing)}`, or leave it out of `trackers`",
        )


def new_trackers(names: Sequence[Tracker], folder: Path) -> list[GeneralTracker]:
    """Returns the trackers of the run in `folder`, which names the run; nothing is started.

    TensorBoard's files are in `<folder>/../tensorboard/<name of the run>`. MLflow's server is the
    one of its environment variables.

    Raises:
        TrainingError: A tracker is not installed.
    """
    check_trackers(names)
    made: Mapping[Tracker, Callable[[], GeneralTracker]] = {
        "tensorboard": lambda: TensorBoardTracker(folder.name, folder.parent / "tensorboard"),
        "mlflow": lambda: MLflowTracker(_EXPERIMENT, run_name=folder.name),
    }
    return [made[name]() for name in dict.fromkeys(names)]


class Tracking:
    """The started trackers of one run; only the first process tells them anything.

    Args:
        accelerator: Made with the trackers of the run.
        first: First step of a resumed run; TensorBoard hides what it was told of later ones.

    Raises:
        TrainingError: A tracker cannot be started, such as MLflow without its server.
    """

    def __init__(self, accelerator: Accelerator, first: int) -> None:
        for tracker in accelerator.log_with:
            if isinstance(tracker, TensorBoardTracker):
                tracker.init_kwargs["purge_step"] = first
        try:
            accelerator.init_trackers(_EXPERIMENT)
        except Exception as error:
            raise TrainingError(
                f"a tracker cannot be started: {error}",
                location="trackers",
                remedy="Check its server and its environment variables, or leave it out",
                retryable=True,
            ) from error
        self._trackers: list[Any] = list(accelerator.trackers)

    def log(self, row: Mapping[str, float]) -> None:
        """Tells the trackers the metrics of one step, named as in `metrics.jsonl`.

        A tracker that fails is told nothing more: its server is no reason to end a training.
        """
        values = {name: value for name, value in row.items() if name != "step"}
        for tracker in tuple(self._trackers):
            try:
                tracker.log(values, step=int(row["step"]))
            except Exception:
                logger.exception(
                    "the tracker %s failed at step %d and is told nothing more",
                    tracker.name,
                    row["step"],
                )
                self._trackers.remove(tracker)

    def close(self) -> None:
        """Ends the runs of the trackers."""
        # Not `Accelerator.end_training`: it ends the group of processes, and recipes may follow.
        for tracker in self._trackers:
            try:
                tracker.finish()
            except Exception:
                logger.exception("the tracker %s could not end its run", tracker.name)
