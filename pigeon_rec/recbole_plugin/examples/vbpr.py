"""VBPR as a model of RecBole's kind: the visual baseline, and an example of a base of your own.

Ruining He and Julian McAuley, VBPR: Visual Bayesian Personalized Ranking from Implicit Feedback,
AAAI 2016 (arXiv 1510.01784), equation 4, without the terms that are the same for all items:

    score(u, i) = b_i + <p_u, q_i> + <t_u, E f_i> + <v, f_i>

f_i is the item's vector of unit length. RecBole loads it by its own settings for pre-trained item
features, see `vbpr.yaml`; nothing here is of pigeon_rec.
"""

import torch
from recbole.model.abstract_recommender import GeneralRecommender
from recbole.model.init import xavier_normal_initialization
from recbole.model.loss import BPRLoss, EmbLoss
from recbole.utils import InputType
from torch import nn


class VBPR(GeneralRecommender):
    """Matrix factorisation with learned factors and with factors of the item's vector."""

    input_type = InputType.PAIRWISE

    def __init__(self, config, dataset):
        super().__init__(config, dataset)
        (id_field,) = config["preload_weight"]
        vectors = torch.zeros(self.n_items, dataset.get_preload_weight(id_field).shape[1])
        loaded = torch.from_numpy(dataset.get_preload_weight(id_field)).float()
        vectors[: len(loaded)] = nn.functional.normalize(loaded, dim=1)
        self.register_buffer("vectors", vectors, persistent=False)
        size, visual = config["embedding_size"], config["visual_size"]
        self.user_factors = nn.Embedding(self.n_users, size)
        self.item_factors = nn.Embedding(self.n_items, size)
        self.user_visual = nn.Embedding(self.n_users, visual)
        self.projection = nn.Linear(vectors.shape[1], visual, bias=False)
        self.visual_bias = nn.Linear(vectors.shape[1], 1, bias=False)
        self.item_bias = nn.Embedding(self.n_items, 1)
        self.reg_weight = config["reg_weight"]
        self.loss, self.reg_loss = BPRLoss(), EmbLoss()
        self.apply(xavier_normal_initialization)

    def forward(self, user, item):
        """Scores of pairs, `[batch]`."""
        vectors = self.vectors[item]
        factors = (self.user_factors(user) * self.item_factors(item)).sum(-1)
        visual = (self.user_visual(user) * self.projection(vectors)).sum(-1)
        biases = self.item_bias(item) + self.visual_bias(vectors)
        return factors + visual + biases.squeeze(-1)

    def calculate_loss(self, interaction):
        user = interaction[self.USER_ID]
        positive, negative = interaction[self.ITEM_ID], interaction[self.NEG_ITEM_ID]
        loss = self.loss(self.forward(user, positive), self.forward(user, negative))
        regularised = self.reg_loss(
            self.user_factors(user),
            self.user_visual(user),
            self.item_factors(positive),
            self.item_factors(negative),
        )
        return loss + self.reg_weight * regularised

    def predict(self, interaction):
        return self.forward(interaction[self.USER_ID], interaction[self.ITEM_ID])

    def full_sort_predict(self, interaction):
        user = interaction[self.USER_ID]
        scores = self.user_factors(user) @ self.item_factors.weight.T
        scores = scores + self.user_visual(user) @ self.projection(self.vectors).T
        biases = self.item_bias.weight + self.visual_bias(self.vectors)
        return (scores + biases.T).view(-1)
