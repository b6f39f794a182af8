"""Which weights stay: every rule by hand, and what holds for any scores."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from galenic.compress.thresholds import Threshold, chosen, keep_densities, keep_n_of_m
from galenic.record.errors import ModelError

INF = float("inf")
TWO = {
    "a.weight": torch.tensor([[0.1, 0.9, 0.2, 0.5]]),
    "b.weight": torch.tensor([[3.0, 4.0], [5.0, 0.3]]),
}


def kept(masks: dict[str, Tensor]) -> dict[str, list]:
    assert {mask.dtype for mask in masks.values()} == {torch.bool}
    return {name.removesuffix(".weight"): mask.int().tolist() for name, mask in masks.items()}


def test_global_takes_the_lowest_of_all_layers() -> None:
    assert kept(chosen(TWO, 0.5, Threshold.GLOBAL)) == {"a": [[0, 1, 0, 0]], "b": [[1, 1], [1, 0]]}
    assert kept(chosen(TWO, 0.25, Threshold.GLOBAL)) == {"a": [[0, 1, 0, 1]], "b": [[1, 1], [1, 1]]}


def test_deviation_measures_each_layer_by_its_own_spread() -> None:
    """Root mean squares 0.5268 and 3.5384: 0.190 1.708 0.380 0.949, and 0.848 1.130 1.413 0.085."""
    assert kept(chosen(TWO, 0.375, Threshold.DEVIATION)) == {"a": [[0, 1, 0, 1]], "b": [[1, 1], [1, 0]]}
    assert kept(chosen(TWO, 0.5, Threshold.DEVIATION)) == {"a": [[0, 1, 0, 1]], "b": [[0, 1], [1, 0]]}


def test_the_deviation_is_that_of_the_weights_that_are_left() -> None:
    """0.5 and 0.5 are worth 1; with the two zeros it would be 1.414, and more than 8 / 5.701 = 1.403."""
    scores = {"a": torch.tensor([[0.5, 0.5, -INF, -INF]]), "b": torch.tensor([[8.0, 8.0, 1.0, 1.0]])}
    assert kept(chosen(scores, 5 / 8, Threshold.DEVIATION)) == {"a": [[1, 0, 0, 0]], "b": [[1, 1, 0, 0]]}


def test_uniform_takes_the_same_share_of_each_layer() -> None:
    assert kept(chosen(TWO, 0.5, Threshold.UNIFORM)) == {"a": [[0, 1, 0, 1]], "b": [[0, 1], [1, 0]]}
    assert kept(chosen(TWO, 0.9, Threshold.UNIFORM)) == {"a": [[0, 1, 0, 0]], "b": [[0, 0], [1, 0]]}, "one is left"


def test_erk_takes_more_of_the_larger_layer() -> None:
    """Sides 1 + 4 of 4 weights, 4 + 8 of 32: 18 weights that stay are e (5 + 12) = 18, so 5 (all 4) and then 14 of 32."""
    scores = {"a": torch.arange(4.0).view(1, 4), "b": torch.arange(32.0).view(4, 8)}
    masks = chosen(scores, 0.5, Threshold.ERK)
    assert kept(masks)["a"] == [[1, 1, 1, 1]]
    assert masks["b"].flatten().int().tolist() == [0] * 18 + [1] * 14


def test_top_k_keeps_the_same_number_in_every_output_channel() -> None:
    scores = {"a": torch.tensor([[0.1, 0.9, 0.2, 0.5], [8.0, 7.0, 9.0, 6.0]]), "b": torch.rand(5, 2, 3, 3)}
    masks = chosen(scores, 0.5, Threshold.TOP_K)
    assert kept(masks)["a"] == [[0, 1, 0, 1], [1, 0, 1, 0]]
    assert masks["b"].flatten(1).sum(dim=1).tolist() == [9] * 5
    assert chosen(scores, 0.95, Threshold.TOP_K)["a"].sum(dim=1).tolist() == [1, 1], "one at least"


def test_of_equal_scores_the_first_stay() -> None:
    scores = {"a": torch.ones(1, 4), "b": torch.ones(2, 2)}
    assert kept(chosen(scores, 0.375, Threshold.GLOBAL)) == {"a": [[1, 1, 1, 1]], "b": [[1, 0], [0, 0]]}
    assert kept(chosen(scores, 0.5, Threshold.UNIFORM)) == {"a": [[1, 1, 0, 0]], "b": [[1, 1], [0, 0]]}
    assert keep_n_of_m(torch.ones(1, 8), 2, 4).int().tolist() == [[1, 1, 0, 0, 1, 1, 0, 0]]


def test_a_layer_that_would_lose_everything_is_named() -> None:
    with pytest.raises(ModelError, match=r"global pruning to 0\.625, which takes all 4 weights of a\.weight"):
        chosen(TWO | {"a.weight": TWO["a.weight"] / 9}, 0.625, Threshold.GLOBAL)
    gone = {"a.weight": torch.full((1, 3), -INF), "b.weight": torch.ones(1, 3)}
    for threshold in Threshold:
        with pytest.raises(ModelError, match=r"all 3 weights of a\.weight"):
            chosen(gone, 0.3, threshold)


def test_densities_are_shares_of_each_layer() -> None:
    masks = keep_densities({"a": TWO["a.weight"], "b": TWO["b.weight"]}, {"a": 0.75, "b": 0.01})
    assert kept(masks) == {"a": [[0, 1, 1, 1]], "b": [[0, 0], [1, 0]]}


@given(
    seed=st.integers(0, 999),
    removed=st.floats(0, 0.9),
    sparsity=st.floats(0.01, 0.95),
    threshold=st.sampled_from(list(Threshold)),
)
@settings(max_examples=80, deadline=None)
def test_nothing_that_was_removed_comes_back(seed: int, removed: float, sparsity: float, threshold: Threshold) -> None:
    generator = torch.Generator().manual_seed(seed)
    sizes = {"a": (3, 7), "b": (4, 3, 2, 2), "c": (5, 2, 3)}
    before = {name: torch.rand(size, generator=generator) >= removed for name, size in sizes.items()}
    scores = {
        name: torch.rand(mask.shape, generator=generator).masked_fill(~mask, -INF) for name, mask in before.items()
    }
    try:
        masks = chosen(scores, sparsity, threshold)
    except ModelError:
        # only global thresholds can take a layer as a whole, unless nothing was left of it
        assert threshold in (Threshold.GLOBAL, Threshold.DEVIATION) or not all(m.any() for m in before.values())
        return
    for name, mask in masks.items():
        assert mask.shape == scores[name].shape
        assert not (mask & ~before[name]).any()
    alive, kept_now = (sum(int(mask.sum()) for mask in each.values()) for each in (before, masks))
    if threshold in (Threshold.GLOBAL, Threshold.DEVIATION):  # 21 + 48 + 30 weights
        assert kept_now == min(alive, 99 - round(sparsity * 99))


@given(seed=st.integers(0, 999), sparsity=st.floats(0.01, 0.8))
@settings(max_examples=80, deadline=None)
def test_global_keeps_exactly_as_many_as_are_asked_for_and_the_highest(seed: int, sparsity: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.rand(size, generator=generator) for name, size in {"a": (6, 9), "b": (4, 5, 3)}.items()}
    masks = chosen(scores, sparsity, Threshold.GLOBAL)
    assert sum(int(mask.sum()) for mask in masks.values()) == 114 - round(sparsity * 114)
    gone = [scores[name][~mask] for name, mask in masks.items()]
    stay = [scores[name][mask] for name, mask in masks.items()]
    if sum(map(len, gone)):
        assert torch.cat(gone).max() <= torch.cat(stay).min()


@pytest.mark.parametrize(("n", "m", "shape"), [(2, 4, (3, 8)), (1, 3, (2, 6, 2, 3)), (3, 4, (4, 4, 5))])
def test_n_of_m_against_a_loop(n: int, m: int, shape: tuple[int, ...]) -> None:
    score = torch.rand(shape, generator=torch.Generator().manual_seed(4))
    flat = score.reshape(shape[0], shape[1], -1)
    expected = torch.zeros_like(flat, dtype=torch.bool)
    for out in range(shape[0]):
        for first in range(0, shape[1], m):
            for place in range(flat.shape[2]):
                values = [float(flat[out, first + k, place]) for k in range(m)]
                for k in sorted(range(m), key=lambda k: -values[k])[:n]:
                    expected[out, first + k, place] = True
    assert torch.equal(keep_n_of_m(score, n, m), expected.view(shape))


def test_n_of_m_brings_nothing_back() -> None:
    score = torch.tensor([[0.1, -INF, -INF, -INF, 0.1, 0.9, -INF, 0.5]])
    assert keep_n_of_m(score, 2, 4).int().tolist() == [[1, 0, 0, 0, 0, 1, 0, 1]]
