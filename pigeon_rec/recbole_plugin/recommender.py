"""A RecBole model that adds visual affinity to the score of any general or sequential base model.

    score(u, i) = base(u, i) + weight * affinity(u, image of i for u)

The base model is trained by its own loss, without the visuals: with the same seed it is bit for bit
the model that RecBole trains alone. The weight is fixed, or learned on training interactions (see
`weights`).
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
from pigeon_rec.recbole_plugin.affinity import VisualAffinity
from pigeon_rec.recbole_plugin.base_models import base_model_class
from pigeon_rec.recbole_plugin.feature_file import ItemVectors
from pigeon_rec.recbole_plugin.histories import Histories, recency_weights
from pigeon_rec.recbole_plugin.item_vectors import load_item_vectors
from pigeon_rec.recbole_plugin.registration import register
from pigeon_rec.recbole_plugin.retrieval import TrainingHistoryRetriever
from pigeon_rec.recbole_plugin.sandbox import dok_matrix_update
from pigeon_rec.recbole_plugin.served import ServedAssets
from pigeon_rec.recbole_plugin.settings import PigeonSettings
from pigeon_rec.recbole_plugin.weights import TrainingSample

__all__ = ["PigeonRecommender"]

_CELLS: Final = 1 << 27  # largest cached table of affinities: half a GiB
_USERS: Final = 256  # users computed at once


class PigeonRecommender(AbstractRecommender):
    """Wraps `pigeon_base_model`; all settings are in `properties.yaml`.

    Without item vectors in the data set, or with weight 0, its scores are exactly the base's.

    Attributes:
        base: The wrapped model.
        affinity: The visual term; `None` if the data set has no item vectors.
        visual_weight: Buffer, float32 scalar; NaN until a learned weight has been learned.
        served: Assets that replace the item's image for their user.
        type: Model type of the base.
        input_type: Input type of the base, if it has one.
    """

    # RecBole reads these from the class, before there is a base: they are those of the default base
    # model, and `registration` sets those of the chosen base in the configuration.
    type = ModelType.GENERAL
    input_type = InputType.PAIRWISE

    def __init__(self, config: Any, dataset: Any) -> None:
        super().__init__()
        settings = PigeonSettings.of(config.final_config_dict)
        base_class = base_model_class(settings.base_model)
        with dok_matrix_update():
            self.base = base_class(config, dataset)  # first: it uses the seeded generator
        self.type = self.base.type
        self.input_type = config["MODEL_INPUT_TYPE"]
        self.device = config["device"]
        self.sequential = self.type == ModelType.SEQUENTIAL
        self.USER_ID, self.ITEM_ID = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.ITEM_SEQ = self.ITEM_ID + config["LIST_SUFFIX"]
        self.ITEM_SEQ_LEN = config["ITEM_LIST_LENGTH_FIELD"]
        self.settings = settings
        found = load_item_vectors(config, dataset)
        self.affinity: VisualAffinity | None = _affinity(settings, found, self.device)
        learned = settings.visual_weight is None
        weight = float("nan") if learned else settings.visual_weight
        self.register_buffer("visual_weight", torch.tensor(weight))
        if self.affinity is None:
            self.logger.info("The data set has no item vectors: the scores are the base model's.")
            self.visual_weight.zero_()
            learned = False
        self._learned = learned
        self._history = Histories.of(dataset, settings.max_history)
        self._sample = TrainingSample.of(dataset, config["seed"]) if learned else None
        self._retriever = TrainingHistoryRetriever(dataset, self.affinity)
        item_vectors = None if self.affinity is None else self.affinity.vectors
        self.served = ServedAssets.read(settings, dataset, item_vectors)
        self._of_all_users: Tensor | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.base(*args, **kwargs)

    def calculate_loss(self, interaction: Any) -> Any:
        if self._learned:
            self.visual_weight.fill_(float("nan"))  # outdated: the base is being trained
        return self.base.calculate_loss(interaction)

    def predict(self, interaction: Any) -> Tensor:
        scores: Tensor = self.base.predict(interaction)
        weight = self.weight()
        if self.affinity is None or weight == 0.0:
            return scores
        items, weights = self.weighted_history(interaction)
        item_ids = interaction[self.ITEM_ID]
        vectors, served = self.served.replace(
            interaction[self.USER_ID], item_ids, self.affinity.vectors[item_ids]
        )
        affinity = self.affinity.to_images(items, weights, item_ids, vectors)
        affinity = affinity * (served | self.affinity.has_image[item_ids])
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
        # The histories of a general base are fixed, so one computation serves all evaluations.
        if self._of_all_users is None:
            every = torch.arange(self._history.items.shape[0], device=self.device)
            parts = [self._affinity_of({self.USER_ID: part}) for part in every.split(_USERS)]
            self._of_all_users = torch.cat(parts)
        return self._of_all_users[interaction[self.USER_ID]]

    def _affinity_of(self, interaction: Any) -> Tensor:
        affinity_of: Any = self.affinity
        items, weights = self.weighted_history(interaction)
        affinity: Tensor = affinity_of.to_all(items, weights)
        rows, item_ids, vectors = self.served.of_users(interaction[self.USER_ID])
        if len(rows):
            affinity[rows, item_ids] = affinity_of.to_images(
                items[rows], weights[rows], item_ids, vectors
            )
        return affinity

    def weighted_history(self, interaction: Any) -> tuple[Tensor, Tensor]:
        """Items and recency weights of each row: its sequence, or the user's training items."""
        if self.sequential:
            items, lengths = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        else:
            users = interaction[self.USER_ID].cpu()
            items = self._history.items[users].to(self.device)
            lengths = self._history.lengths[users].to(self.device)
        return items, recency_weights(items, lengths, self.settings.half_life)

    def weight(self) -> float:
        """Returns the weight of the affinity; relearns it if the base has changed."""
        weight = float(self.visual_weight)
        if weight != weight and self._sample is not None and not self.training:
            weight = self._sample.learn(self)
            self.visual_weight.fill_(weight)
        return 0.0 if weight != weight else weight

    def retrieve_history(self, user: str, reference: str, k: int = 5) -> pl.DataFrame:
        """Returns the user's `k` training items that best match a reference item.

        Uses the history retrieval of the night, with its default weights. User and item are given
        by their tokens, as in the `.inter` file.

        Returns:
            `item_id, score, similarity`, best first, without the reference itself.

        Raises:
            RetrievalError: The user or the item is unknown, or there are no item vectors.
        """
        return self._retriever.retrieve(user, reference, k)

    def other_parameter(self) -> dict[str, Any]:
        parameters: dict[str, Any] = self.base.other_parameter()
        return parameters

    def load_other_parameter(self, para: Any) -> None:
        self.base.load_other_parameter(para)


def _affinity(settings: PigeonSettings, found: ItemVectors | None, device: Any) -> Any:
    """The visual term; `None` without item vectors or with weight 0."""
    if found is None:
        return None
    return VisualAffinity(torch.from_numpy(found.matrix), settings.neighbours).to(device)


register(PigeonRecommender, sys.modules[__name__])
