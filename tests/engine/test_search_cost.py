"""What is compared with the search is the same search."""

import pytest
import torch

from vtok.engine import search_cost


def test_costs_are_of_both_ways_and_threads_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_cost, "NUM_LATENTS", 64)
    monkeypatch.setattr(search_cost, "NUM_CODES", 128)
    threads = torch.get_num_threads()
    costs = list(search_cost.search_costs(1))
    assert [cost.code_dim for cost in costs] == [8, 64, 256]
    assert all(min(cost.cdist_s, cost.folded_s, cost.search_s) > 0 for cost in costs)
    assert all(cost.to_json()["ratio"] > 0 for cost in costs)
    assert torch.get_num_threads() == threads
