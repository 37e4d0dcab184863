"""LoRA adapters: added and merged."""

from __future__ import annotations

import torch

from pigeon_rec.model.personalisation import Personalisation
from pigeon_rec.training.lora import add_lora, merge_lora
from tests.model.tiny import TINY, seeded


def test_new_adapters_change_nothing_and_have_the_papers_sizes() -> None:
    with seeded():
        model = Personalisation(TINY).language_model.eval()
        ids = torch.randint(0, 282, (2, 7))
        plain = model(ids).logits
        add_lora(model)
    assert torch.equal(model(ids).logits, plain)
    added = {n: tuple(w.shape) for n, w in model.named_parameters() if "lora_" in n}
    assert {n.split(".")[4] for n in added} == {"q_proj", "v_proj"}
    assert sorted(set(added.values())) == [(8, 32), (32, 8)]
    assert all(w.requires_grad for n, w in model.named_parameters() if "lora_" in n)


def adapted() -> torch.nn.Module:
    """A language model with adapters that change its output."""
    with seeded():
        language_model = Personalisation(TINY).language_model
        add_lora(language_model)
        for name, weight in language_model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.1)
    return language_model.eval()


def test_merged_adapters_give_the_same_logits() -> None:
    language_model = adapted()
    ids = torch.randint(0, 282, (3, 9), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = language_model(ids).logits
        merge_lora(language_model)
        after = language_model(ids).logits
    with seeded():
        plain = Personalisation(TINY).language_model.eval()
    assert not torch.allclose(before, plain(ids).logits, atol=1e-3)
    assert torch.allclose(after, before, atol=1e-6)
    assert sorted(language_model.state_dict()) == sorted(plain.state_dict())
