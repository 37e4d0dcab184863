"""A RecBole model that adds visual affinity to the score of any general or sequential base model.

    score(u, i) = base(u, i) + weight * affinity(u, image of i for u)

The base model is trained and stopped by its own loss and metric, without the visuals: with the same
seed it is bit for bit the model that RecBole trains alone. The weight is fixed, or chosen on the
validation data when the training is over (see `validation`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import polars as pl
import torch
from recbole.model.abstract_recommender import AbstractRecommender
from recbole.utils import InputType, ModelType
from torch import Tensor

from pigeon_rec.errors import ConfigError, ModelError
from pigeon_rec.recbole_plugin.affinity import VisualAffinity
from pigeon_rec.recbole_plugin.base_models import base_label, base_model_class, score_all_pairs
from pigeon_rec.recbole_plugin.feature_file import ItemVectors
from pigeon_rec.recbole_plugin.histories import Histories, recency_weights
from pigeon_rec.recbole_plugin.item_vectors import load_item_vectors
from pigeon_rec.recbole_plugin.plain_values import plain_parameters, restored_parameters
from pigeon_rec.recbole_plugin.pretrained import pretrained_parts
from pigeon_rec.recbole_plugin.registration import register
from pigeon_rec.recbole_plugin.retrieval import TrainingHistoryRetriever
from pigeon_rec.recbole_plugin.served import ServedAssets
from pigeon_rec.recbole_plugin.settings import PigeonSettings
from pigeon_rec.recbole_plugin.todays_stack import dok_matrix_update
from pigeon_rec.recbole_plugin.validation import ScoreTape, weighted_sum

__all__ = ["PigeonRecommender"]

_CELLS: Final = 1 << 27  # largest cached table of affinities: half a GiB
_USERS: Final = 256  # users computed at once


class PigeonRecommender(AbstractRecommender):
    """Wraps `pigeon_base_model`; all settings are in `properties.yaml`.

    Without item vectors, or with weight 0, its scores are exactly the base's.

    Attributes:
        base: The wrapped model.
        affinity: The visual term; `None` if there are no item vectors.
        visual_weight: Buffer, float32 scalar; NaN until a learned weight has been chosen.
        learns_weight: Whether the weight is to be chosen on validation data.
        served: Assets that replace the item's image for their user.
        items: All items with RecBole's features of them.
        pairs: Pairs that a base without a full sort scores at once.
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
        with dok_matrix_update(), pretrained_parts():
            self.base = base_class(config, dataset)  # first: it uses the seeded generator
        self.type = self.base.type
        self.input_type = config["MODEL_INPUT_TYPE"]
        self.device = config["device"]
        self.sequential = self.type == ModelType.SEQUENTIAL
        self.USER_ID, self.ITEM_ID = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"]
        self.ITEM_SEQ = self.ITEM_ID + config["LIST_SUFFIX"]
        self.ITEM_SEQ_LEN = config["ITEM_LIST_LENGTH_FIELD"]
        self.settings = settings
        self.items, self.pairs = dataset.get_item_feature(), config["eval_batch_size"]
        found = load_item_vectors(config, dataset)
        self._features_sha256 = None if found is None else found.sha256
        self.affinity: VisualAffinity | None = _affinity(settings, found, self.device)
        if self.affinity is None:
            self.logger.info("No item vectors, or weight 0: the scores are the base model's.")
        self.learns_weight = settings.visual_weight is None and self.affinity is not None
        weight = float("nan") if self.learns_weight else settings.visual_weight or 0.0
        self.register_buffer("visual_weight", torch.tensor(weight if self.affinity else 0.0))
        # The histories of a general base are those of the training set; a sequential one gets them.
        fixed = self.affinity is not None and not self.sequential
        self._history = Histories.of(dataset, settings.max_history) if fixed else None
        self._searched = False
        self._retriever = TrainingHistoryRetriever(dataset, self.affinity)
        item_vectors = None if self.affinity is None else self.affinity.vectors
        self.served = ServedAssets.read(settings, dataset, item_vectors)
        self._of_all_users: Tensor | None = None
        self._tape: ScoreTape | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.base(*args, **kwargs)

    def calculate_loss(self, interaction: Any) -> Any:
        if self.learns_weight:
            self.visual_weight.fill_(float("nan"))  # outdated: the base is being trained
        return self.base.calculate_loss(interaction)

    def predict(self, interaction: Any) -> Tensor:
        return self._scores(interaction, self.base.predict, self._affinity_to_pairs)

    def full_sort_predict(self, interaction: Any) -> Tensor:
        return self._scores(interaction, self._base_to_all, self.affinity_to_all)

    def _scores(
        self,
        interaction: Any,
        base_of: Callable[[Any], Tensor],
        affinity_of: Callable[[Any], Tensor],
    ) -> Tensor:
        weight = self.weight()
        if self._tape is not None:
            return self._tape.scores(
                lambda: (base_of(interaction), affinity_of(interaction)), weight
            )
        scores = base_of(interaction)
        if self.affinity is None or weight == 0.0:
            return scores
        return weighted_sum(scores, affinity_of(interaction), weight)

    def _base_to_all(self, interaction: Any) -> Tensor:
        try:
            scores: Tensor = self.base.full_sort_predict(interaction)
        except NotImplementedError:
            scores = score_all_pairs(self.base, interaction, self.items, pairs=self.pairs)
        return scores

    def affinity_to_all(self, interaction: Any) -> Tensor:
        """Affinity of the interaction's users to every item, float32 `[batch, n_items]`.

        Raises:
            ConfigError: There are no item vectors.
        """
        affinity = self._known_affinity()
        if self._history is None or len(self._history.items) * affinity.n_items > _CELLS:
            return self._affinity_of(interaction)
        # One computation serves all evaluations.
        if self._of_all_users is None:
            every = torch.arange(len(self._history.items), device=self.device)
            parts = [self._affinity_of({self.USER_ID: part}) for part in every.split(_USERS)]
            self._of_all_users = torch.cat(parts)
        return self._of_all_users[interaction[self.USER_ID]]

    def _affinity_of(self, interaction: Any) -> Tensor:
        affinity = self._known_affinity()
        items, weights = self.weighted_history(interaction)
        to_all: Tensor = affinity.to_all(items, weights)
        if len(self.served):
            rows, item_ids, vectors = self.served.of_users(self._users(interaction))
            if len(rows):
                to_all[rows, item_ids] = affinity.to_images(
                    items[rows], weights[rows], item_ids, vectors
                )
        return to_all

    def _affinity_to_pairs(self, interaction: Any) -> Tensor:
        affinity = self._known_affinity()
        items, weights = self.weighted_history(interaction)
        item_ids = interaction[self.ITEM_ID]
        vectors, shown = affinity.vectors[item_ids], affinity.has_image[item_ids]
        if len(self.served):
            users = self._users(interaction)
            vectors, served = self.served.replace(users, item_ids, vectors)
            shown = served | shown
        return affinity.to_images(items, weights, item_ids, vectors) * shown

    def _known_affinity(self) -> VisualAffinity:
        if self.affinity is None:
            raise ConfigError(
                "there are no item vectors",
                location="pigeon_features",
                remedy="Write them with `pigeon-rec recbole features`",
            )
        if self._history is not None and not self._searched:
            self.affinity.search(self._history.items.to(self.device))
            self._searched = True
        return self.affinity

    def _users(self, interaction: Any) -> Tensor:
        if self.USER_ID not in interaction:
            raise ConfigError(
                f"prediction needs the field {self.USER_ID}, since pigeon_served replaces images "
                "for their user",
                location="pigeon_served",
                remedy=f"Add {self.USER_ID} to the interaction, or unset pigeon_served",
            )
        users: Tensor = interaction[self.USER_ID]
        return users

    def weighted_history(self, interaction: Any) -> tuple[Tensor, Tensor]:
        """Items and recency weights of each row: its sequence, or the user's training items."""
        if self._history is None:
            items, lengths = interaction[self.ITEM_SEQ], interaction[self.ITEM_SEQ_LEN]
        else:
            users = interaction[self.USER_ID].cpu()
            items = self._history.items[users].to(self.device)
            lengths = self._history.lengths[users].to(self.device)
        return items, recency_weights(items, lengths, self.settings.half_life)

    def weight(self) -> float:
        """Returns the weight of the affinity; 0 as long as none has been chosen."""
        weight = float(self.visual_weight)
        return 0.0 if weight != weight else weight

    @contextmanager
    def recorded(self) -> Iterator[ScoreTape]:
        """Scores of its block are taken from a tape, for `validation.choose_weight`."""
        self._tape = ScoreTape()
        try:
            yield self._tape
        finally:
            self._tape = None

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
        return plain_parameters(self.base)

    def load_other_parameter(self, para: Any) -> None:
        if para:
            self.base.load_other_parameter(restored_parameters(para))

    def get_extra_state(self) -> dict[str, str]:
        """What a checkpoint must agree with: the base model and the feature file, if any."""
        state = {"base": base_label(type(self.base))}
        return state | ({"features": self._features_sha256} if self._features_sha256 else {})

    def set_extra_state(self, state: Any) -> None:
        """Compares a checkpoint with this model.

        Raises:
            ModelError: It is of another base model, or was made with another feature file.
        """
        own = self.get_extra_state()
        for key, kind, remedy in (
            ("base", "base model", "Set pigeon_base_model to the one of the checkpoint"),
            ("features", "feature file", "Restore that file, or train again with this one"),
        ):
            saved = (state or {}).get(key)
            if saved is not None and key in own and saved != own[key]:
                raise ModelError(
                    f"the checkpoint is of another {kind}: {saved}, and this run has {own[key]}",
                    location="checkpoint",
                    remedy=remedy,
                )

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        # Checkpoints from before there was an extra state have none.
        return super().load_state_dict({"_extra_state": {}, **state_dict}, *args, **kwargs)


def _affinity(settings: PigeonSettings, found: ItemVectors | None, device: Any) -> Any:
    """The visual term; `None` without item vectors or with weight 0."""
    if found is None:
        return None
    return VisualAffinity(torch.from_numpy(found.matrix), settings.neighbours).to(device)


register(PigeonRecommender, sys.modules[__name__])
