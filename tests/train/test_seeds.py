import torch

from mfas.train import derive_seed, drawing_from, shuffled


def test_seeds_follow_from_every_part_and_never_change():
    assert derive_seed(0, "fold 03", "search", 1) == 4_250_686_015_937_011_201
    seeds = {
        derive_seed(seed, fold, stage, epoch)
        for seed in (0, 1)
        for fold in ("01", "02")
        for stage in ("search", "train")
        for epoch in range(5)
    }
    assert len(seeds) == 40
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_an_order_is_a_permutation_of_its_seed():
    assert sorted(shuffled(50, 1)) == list(range(50))
    assert shuffled(50, 1) == shuffled(50, 1) != shuffled(50, 2)


def test_draws_inside_repeat_and_draws_outside_do_not_notice():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    with drawing_from(1):
        first = torch.rand(2)
    with drawing_from(1):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.rand(3), expected)
