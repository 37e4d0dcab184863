"""A RecBole model that adds visual affinity to the score of any general or sequential base model.

    score(u, i) = base(u, i) + weight * affinity(u, picture of i for u)

The base model is trained by its own loss and never sees the pictures: with the same seed it is, bit
for bit, the model that RecBole trains without us. The weight is fixed, or learned from how base and
pictures rank the interactions that the base was trained on (see `weights`).
"""

from __future__ import annotations

import sys
from typing import Any, Final

import polars as pl
import torch
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import InputType, ModelType
from torch import Tensor

from pigeon_rec.errors import ConfigError
from pigeon_rec.recbole_plugin._sandbox import dok_matrix_update
from pigeon_rec.recbole_plugin.affinity import VisualAffinity
from pigeon_rec.recbole_plugin.base_models import base_model_class
from pigeon_rec.recbole_plugin.histories import Histories, recency_weights
from pigeon_rec.recbole_plugin.registration import register
from pigeon_rec.recbole_plugin.retrieval import HistoryOfUsers
from pigeon_rec.recbole_plugin.served import ServedPictures
from pigeon_rec.recbole_plugin.settings import PigeonSettings
from pigeon_rec.recbole_plugin.weights import TrainingSample

__all__ = ["PigeonRecommender"]

_CELLS: Final = 1 << 27  # affinities of all users kept: half a GiB
_USERS: Final = 256  # users computed at once


class PigeonRecommender(AbstractRecommender):
    """Wraps `pigeon_base_model`; all settings are in `properties.yaml`.

    Without item vectors in the data set, or with weight 0, it is its base model exactly.

    Attributes:
        base: The wrapped model.
        affinity: The visual term; `None` where the data set has no item vectors.
        visual_weight: Buffer, float32 scalar; NaN until a learned weight is learned.
        served: The pictures that replace the item's for their user.
        type: Model type of the base.
        input_type: Input type of the base, where it has one.
    """

    # RecBole asks the class before there is a base: these are the default base model's, and
    # `registration` gives the configuration those of the base that is chosen.
    type = ModelType.GENERAL
    input_type = InputType.PAIRWISE

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__()
        settings = PigeonSettings.of(config.final_config_dict)
        base_class = base_model_class(settings.base_model)
        with dok_matrix_update():
            self.base = base_class(config, dataset)  # first: it draws from the seeded generator
        self.type = self.base.type
        self.input_type = config["MODEL_INPUT_TYPE"]
        self.device = config["device"]
        self.sequential = self.type == ModelType.SEQUENTIAL
        self.USER_ID, self.ITEM_ID = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.ITEM_SEQ = self.ITEM_ID + config["LIST_SUFFIX"]
        self.ITEM_SEQ_LEN = config["ITEM_LIST_LENGTH_FIELD"]
        self.settings = settings
        self.affinity = _affinity(settings, dataset)
        learned = settings.visual_weight is None
        weight = float("nan") if learned else settings.visual_weight
        self.register_buffer("visual_weight", torch.tensor(weight))
        if self.affinity is None:
            self.logger.info("The data set has no item vectors: PigeonRecommender is its base.")
            self.visual_weight.zero_()
            learned = False
        self._learned = learned
        self._history = Histories.of(dataset, settings.max_history)
        self._sample = TrainingSample.of(dataset, config["seed"]) if learned else None
        self._retriever = HistoryOfUsers(dataset, self.affinity)
        seen = None if self.affinity is None else self.affinity.vectors
        self.served = ServedPictures.read(settings, dataset, seen)
        self._of_all_users: Tensor | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.base(*args, **kwargs)

    def calculate_loss(self, interaction: Any) -> Any:
        if self._learned:
            self.visual_weight.fill_(float("nan"))  # the base is about to change
        return self.base.calculate_loss(interaction)

    def predict(self, interaction: Any) -> Tensor:
        scores: Tensor = self.base.predict(interaction)
        weight = self.weight()
        if self.affinity is None or weight == 0.0:
            return scores
        items, weights = self.history_of(interaction)
        candidates = interaction[self.ITEM_ID]
        pictures, served = self.served.replace(
            interaction[self.USER_ID], candidates, self.affinity.vectors[candidates]
        )
        affinity = self.affinity.to_pictures(items, weights, candidates, pictures)
        affinity = affinity * (served | self.affinity.shown[candidates])
        return scores + (weight * affinity).view_as(scores)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        scores: Tensor = self.base.full_sort_predict(interaction)
        weight = self.weight()
        if self.affinity is None or weight == 0.0:
            return scores
        affinity = self.affinity_to_all(interaction)
        return torch.add(scores, affinity.view_as(scores), alpha=weight)

    def affinity_to_all(self, interaction: Any) -> Tensor:
        """Affinity of the interaction's users to every item, float32 `[batch, n_items]`.

        Raises:
            ConfigError: The data set has no item vectors.
        """
        if self.affinity is None:
            raise ConfigError(
                "the data set has no item vectors",
                location="additional_feat_suffix",
                remedy="Write them with `pigeon-rec recbole features`",
            )
        if self.sequential or self._history.items.shape[0] * self.affinity.n_items > _CELLS:
            return self._affinity_of(interaction)
        # A general base's histories never change: what is computed once serves every evaluation.
        if self._of_all_users is None:
            every = torch.arange(self._history.items.shape[0], device=self.device)
            parts = [self._affinity_of({self.USER_ID: part}) for part in every.split(_USERS)]
            self._of_all_users = torch.cat(parts)
        return self._of_all_users[interaction[self.USER_ID]]

    def _affinity_of(self, interaction: Any) -> Tensor:
        affinity_of: Any = self.affinity
        items, weights = self.history_of(interaction)
        affinity: Tensor = affinity_of.to_all(items, weights)
        rows, candidates, pictures = self.served.of_users(interaction[self.USER_ID])
        if len(rows):
            affinity[rows, candidates] = affinity_of.to_pictures(
                items[rows], weights[rows], candidates, pictures
            )
        return affinity

    def history_of(self, interaction: Any) -> tuple[Tensor, Tensor]:
        """Items and their weights for each row: its sequence, or the user's training items."""
        if self.sequential:
            items, lengths = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        else:
            users = interaction[self.USER_ID].cpu()
            items = self._history.items[users].to(self.device)
            lengths = self._history.lengths[users].to(self.device)
        return items, recency_weights(items, lengths, self.settings.half_life)

    def weight(self) -> float:
        """The weight of the affinity; a learned one is learned anew when the base has changed."""
        weight = float(self.visual_weight)
        if weight != weight and self._sample is not None and not self.training:
            weight = self._sample.learn(self)
            self.visual_weight.fill_(weight)
        return 0.0 if weight != weight else weight

    def retrieve_history(self, user: str, reference: str, k: int = 5) -> pl.DataFrame:
        """The user's `k` training items that go best with a reference item.

        Found by the search that gives the nightly run its histories, with the same weights.

        Args:
            user: Token of the user, as in the `.inter` file.
            reference: Token of the item.
            k: How many, at most.

        Returns:
            `item_id, score, similarity`, best first; the reference itself is never among them.

        Raises:
            RetrievalError: RecBole does not know the user or the item, or there are no vectors.
        """
        return self._retriever.retrieve(user, reference, k)

    def other_parameter(self) -> dict[str, Any]:
        parameters: dict[str, Any] = self.base.other_parameter()
        return parameters

    def load_other_parameter(self, para: Any) -> None:
        self.base.load_other_parameter(para)


def _affinity(settings: PigeonSettings, dataset: Any) -> VisualAffinity | None:
    """The visual term over the data set's preloaded weights; `None` without them or its weight."""
    matrix = dataset._preloaded_weight.get(settings.visual_id_field)
    if matrix is None or settings.visual_weight == 0.0:
        return None
    _check_scale(dataset, settings)
    vectors = torch.zeros(dataset.item_num, matrix.shape[1])
    vectors[: len(matrix)] = torch.from_numpy(matrix).float()
    return VisualAffinity(vectors, settings.neighbours).to(dataset.config["device"])


def _check_scale(dataset: Any, settings: PigeonSettings) -> None:
    """RecBole's normalisation moves all numbers of a field between 0 and 1, and angles with them.

    Raises:
        ConfigError: The vectors would be normalised.
    """
    config = dataset.config
    fields = config["normalize_field"] or []
    if config["normalize_all"] or settings.visual_field in fields:
        location = "normalize_all" if config["normalize_all"] else "normalize_field"
        raise ConfigError(
            f"{location} would change the angles between the vectors of [{settings.visual_field}]",
            location=location,
            remedy="Set normalize_all: False and name the other fields in normalize_field",
        )


register(PigeonRecommender, sys.modules[__name__])
