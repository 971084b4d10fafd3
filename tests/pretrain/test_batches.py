"""Which crops and recordings make each batch, and what is read for them."""

import threading
import time
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mfas.config import SpeechSection
from mfas.corpora import Utterance
from mfas.errors import ManifestError
from mfas.pretrain.batches import (
    READ_AHEAD,
    Piece,
    endless_plans,
    plan_crops,
    plan_recordings,
    read_ahead,
    read_batch,
)
from mfas.pretrain.speech import FULL_SCALE, Speech

RATE_HZ = 16_000
CROPS = SpeechSection(crop_seconds=(0.5, 1.0, 2.0))
SPEEDS = (0.9, 1.0, 1.1)
PLAYED = CROPS.model_copy(update={"speeds": SPEEDS})


def speech_of(*seconds: float) -> Speech:
    """Recordings whose samples count on from one to the next."""
    lengths_R = np.array([round(s * RATE_HZ) for s in seconds], dtype=np.int64)
    starts_R = np.concatenate([[0], np.cumsum(lengths_R)[:-1]])
    samples_N = (np.arange(lengths_R.sum()) % 30_000).astype("<i2")
    utterances = tuple(
        Utterance(f"{n}", None, "x", "", text=f"text {n}") for n in range(len(seconds))
    )
    return Speech(utterances, samples_N, starts_R.astype(np.int64), lengths_R)


def random_speech(recordings: int, seed: int = 0, least: float = 0.5, most: float = 6.0) -> Speech:
    return speech_of(*np.random.default_rng(seed).uniform(least, most, recordings))


def sines_of(hz: float, *seconds: float) -> Speech:
    """Recordings of one tone of amplitude 10 000, each from phase 0."""
    speech = speech_of(*seconds)
    sines = [10_000 * np.sin(2 * np.pi * hz * np.arange(n) / RATE_HZ) for n in speech.lengths_R]
    samples_N = np.rint(np.concatenate(sines)).astype("<i2")
    return Speech(speech.utterances, samples_N, speech.starts_R, speech.lengths_R)


def places(plans: list[tuple[Piece, ...]]) -> list[list[tuple[int, int, int]]]:
    """Recording, start and samples of every piece."""
    return [[(piece.recording, piece.start, piece.samples) for piece in plan] for plan in plans]


many = st.lists(st.floats(0.5, 5.0), min_size=1, max_size=60)
any_speeds = st.lists(st.floats(0.5, 2), min_size=1, max_size=4).map(tuple)


@given(seconds=many, batch_seconds=st.floats(0.5, 12), processes=st.integers(1, 3))
def test_crops_of_a_batch_are_equally_long_and_lie_inside(seconds, batch_seconds, processes):
    speech = speech_of(*seconds)
    try:
        plans = plan_crops(speech, CROPS, batch_seconds, processes, seed=3)
    except ManifestError:
        least = max(1, int(batch_seconds / 0.5 / processes)) * processes
        assert len(seconds) <= 5 * least  # too little for a batch of every length
        return
    for plan in plans:
        (samples,) = {piece.samples for piece in plan}
        assert samples in (8_000, 16_000, 32_000)
        assert len(plan) % processes == 0
        fits = samples * len(plan) <= batch_seconds * RATE_HZ
        assert fits or len(plan) == processes
        assert samples * (len(plan) + processes) > batch_seconds * RATE_HZ  # it is full
        for piece in plan:
            assert 0 <= piece.start <= speech.lengths_R[piece.recording] - samples


def test_every_recording_gives_the_longest_crops_that_it_can_fill():
    speech = speech_of(*[0.6] * 40, *[1.5] * 40, *[2.5] * 40, *[8.5] * 10)
    plans = plan_crops(speech, CROPS, 8.0, 1, seed=0)
    found = Counter((piece.recording, piece.samples) for plan in plans for piece in plan)
    of_length = {
        first: Counter(
            s for (r, s), n in found.items() for _ in range(n) if first <= r < first + n0
        )
        for first, n0 in ((0, 40), (40, 40), (80, 40), (120, 10))
    }
    assert of_length[0] == {8_000: 32}  # 16 in a batch; what is left waits
    assert of_length[40][16_000] >= 35
    assert of_length[80][32_000] >= 37
    assert of_length[120][32_000] >= 37  # four crops of each
    assert max(n for (r, _), n in found.items() if r < 120) == 1


def test_long_recordings_give_as_many_crops_as_they_hold():
    plans = plan_crops(speech_of(2.0, 3.9, 4.0, 9.0), CROPS, 4.0, 1, seed=0)
    assert Counter(piece.recording for plan in plans for piece in plan) == {0: 1, 1: 1, 2: 2, 3: 4}


@pytest.mark.parametrize("recordings", [30, 200])
def test_less_than_one_batch_of_the_shortest_is_left_out_of_an_epoch(recordings):
    speech = random_speech(recordings)
    for seed in range(3):
        plans = plan_crops(speech, CROPS, 8.0, 1, seed)
        used = {piece.recording for plan in plans for piece in plan}
        assert len(used) > recordings - 16


def test_what_fills_no_batch_of_its_length_is_cut_shorter():
    plans = plan_crops(speech_of(2.5, 2.5, 2.5, 1.2, 0.7), CROPS, 4.0, 1, seed=0)
    assert sorted((len(plan), plan[0].samples) for plan in plans) == [(2, 32_000)]
    plans = plan_crops(speech_of(2.5, 2.5, 2.5, 1.2, 1.2, 1.2), CROPS, 4.0, 1, seed=0)
    assert sorted((len(plan), plan[0].samples) for plan in plans) == [(2, 32_000), (4, 16_000)]


def test_crops_start_anywhere():
    starts = [
        piece.start
        for seed in range(300)
        for plan in plan_crops(speech_of(2.001, 2.001), CROPS, 4.0, 1, seed)
        for piece in plan
    ]
    assert {0, 16} <= set(starts)
    assert set(starts) == set(range(17))


def test_a_seed_is_one_epoch_and_another_seed_another():
    speech = random_speech(40)
    one, again, other = (plan_crops(speech, CROPS, 8.0, 1, seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    lengths = [plan[0].samples for plan in plan_crops(random_speech(300), CROPS, 8.0, 1, 0)]
    assert lengths not in (sorted(lengths), sorted(lengths)[::-1])  # batches are shuffled too


def test_the_order_of_crop_lengths_says_nothing():
    speech, backwards = random_speech(40), SpeechSection(crop_seconds=(2.0, 0.5, 1.0, 0.5))
    assert plan_crops(speech, CROPS, 8.0, 1, 0) == plan_crops(speech, backwards, 8.0, 1, 0)


def test_too_little_speech_for_a_batch():
    with pytest.raises(ManifestError, match=r"^2 s of speech do not fill one batch of 8 s; add"):
        plan_crops(speech_of(1.0, 1.0), CROPS, 8.0, 1, 0)


@given(
    seconds=many,
    batch_seconds=st.floats(0.5, 12),
    processes=st.integers(1, 3),
    seed=st.none() | st.integers(0, 9),
)
def test_every_whole_recording_once_within_the_seconds(seconds, batch_seconds, processes, seed):
    speech = speech_of(*seconds)
    if len(seconds) < processes:
        with pytest.raises(ManifestError, match=f"one batch of {processes} processes"):
            plan_recordings(speech, batch_seconds, processes, seed)
        return
    plans = plan_recordings(speech, batch_seconds, processes, seed)
    used = [piece.recording for plan in plans for piece in plan]
    assert len(used) == len(set(used)) == len(seconds) - len(seconds) % processes
    for plan in plans:
        assert len(plan) % processes == 0
        longest = max(piece.samples for piece in plan)
        assert longest * len(plan) <= batch_seconds * RATE_HZ or len(plan) == processes
        for piece in plan:
            assert (piece.start, piece.samples) == (0, speech.lengths_R[piece.recording])


def test_whole_recordings_are_batched_with_their_like():
    speech = random_speech(400)
    plans = plan_recordings(speech, 30.0, 1, seed=0)
    real = sum(piece.samples for plan in plans for piece in plan)
    padded = sum(max(piece.samples for piece in plan) * len(plan) for plan in plans)
    assert real / padded > 0.85
    assert plans != plan_recordings(speech, 30.0, 1, seed=1)
    assert plans == plan_recordings(speech, 30.0, 1, seed=0)


def test_without_a_seed_whole_recordings_are_sorted_by_length():
    plans = plan_recordings(random_speech(60), 20.0, 1, seed=None)
    lengths = [piece.samples for plan in plans for piece in plan]
    assert lengths == sorted(lengths)


def test_equally_long_recordings_stay_in_order():
    plans = plan_recordings(speech_of(*[1.0] * 40), 5.0, 1, seed=None)
    assert [piece.recording for plan in plans for piece in plan] == list(range(40))


def test_what_a_batch_holds():
    speech = speech_of(1.0, 0.5, 2.0)
    (plan,) = plan_recordings(speech, 100.0, 1, seed=None)
    batch = read_batch(speech, plan)
    assert batch.samples_B.tolist() == [8_000, 16_000, 32_000]
    assert batch.texts == ("text 1", "text 0", "text 2")
    assert (batch.first_row, batch.all_rows) == (0, 3)
    assert batch.waveforms_BN.dtype == torch.float32
    assert batch.waveforms_BN.shape == (3, 32_000)
    counted = torch.from_numpy(speech.read(1, 0, 8_000).astype(np.float32)) / FULL_SCALE
    assert torch.equal(batch.waveforms_BN[0, :8_000], counted)
    assert not batch.waveforms_BN[0, 8_000:].any()


def test_one_speed_gives_the_batches_that_a_seed_always_gave():
    """Written down before there were speeds: old runs can be done again."""
    speech = speech_of(0.7, 1.2, 2.5, 4.1, 0.9, 1.6, 3.3, 2.2)
    crops = plan_crops(speech, CROPS, 2.0, 1, seed=8)
    assert places(crops) == [
        [(6, 8134, 32000)],
        [(5, 3731, 16000), (1, 1193, 16000)],
        [(3, 29229, 32000)],
        [(7, 154, 32000)],
        [(3, 14713, 32000)],
        [(2, 4589, 32000)],
    ]
    shuffled = plan_recordings(speech, 4.0, 1, seed=8)
    assert places(shuffled) == [
        [(6, 0, 52800)],
        [(2, 0, 40000)],
        [(3, 0, 65600)],
        [(0, 0, 11200), (4, 0, 14400), (1, 0, 19200)],
        [(5, 0, 25600)],
        [(7, 0, 35200)],
    ]
    as_sorted = plan_recordings(speech, 4.0, 2, seed=None)
    assert places(as_sorted) == [
        [(0, 0, 11200), (4, 0, 14400)],
        [(1, 0, 19200), (5, 0, 25600)],
        [(7, 0, 35200), (2, 0, 40000)],
        [(6, 0, 52800), (3, 0, 65600)],
    ]
    for plan in (*crops, *shuffled, *as_sorted):
        assert {piece.speed for piece in plan} == {1}


@given(
    seconds=st.lists(st.floats(1.0, 5.0), min_size=1, max_size=40),
    speeds=any_speeds,
    batch_seconds=st.floats(0.5, 12),
    processes=st.integers(1, 3),
)
def test_crops_at_other_speeds_lie_inside_too(seconds, speeds, batch_seconds, processes):
    speech, crops = speech_of(*seconds), CROPS.model_copy(update={"speeds": speeds})
    try:
        plans = plan_crops(speech, crops, batch_seconds, processes, seed=3)
    except ManifestError:
        least = max(1, int(batch_seconds / 0.5 / processes)) * processes
        assert len(seconds) <= 5 * least
        return
    drawn = {}
    for plan in plans:
        (samples,) = {piece.samples for piece in plan}
        assert samples in (8_000, 16_000, 32_000)
        assert len(plan) % processes == 0
        for piece in plan:
            read = piece.source_samples
            assert 0 <= piece.start <= speech.lengths_R[piece.recording] - read
            assert samples * piece.speed - 1 < read <= samples * piece.speed
            drawn.setdefault(piece.recording, set()).add(piece.speed)
    assert all(len(found) == 1 and found <= set(speeds) for found in drawn.values())


@given(
    seconds=many,
    speeds=any_speeds,
    batch_seconds=st.floats(0.5, 12),
    seed=st.none() | st.integers(0, 9),
)
def test_whole_recordings_at_other_speeds_are_as_long_as_they_take(
    seconds, speeds, batch_seconds, seed
):
    speech = speech_of(*seconds)
    plans = plan_recordings(speech, batch_seconds, 1, seed, speeds)
    used = sorted(piece.recording for plan in plans for piece in plan)
    assert used == list(range(len(seconds)))
    for plan in plans:
        assert max(p.samples for p in plan) * len(plan) <= batch_seconds * RATE_HZ or len(plan) == 1
        for piece in plan:
            length = speech.lengths_R[piece.recording]
            assert piece.speed in speeds
            assert piece.start == 0
            assert length / piece.speed - 1 < piece.samples <= length / piece.speed + 1e-6
            assert length - 3 <= piece.source_samples <= length
    if seed is None:
        lengths = [piece.samples for plan in plans for piece in plan]
        assert lengths == sorted(lengths)


def test_faster_recordings_give_fewer_crops_and_slower_ones_more():
    for speed, crops in ((0.5, 4), (1.0, 2), (1.25, 1), (2.0, 1)):
        played = CROPS.model_copy(update={"speeds": (speed,)})
        plans = plan_crops(speech_of(4.0), played, 2.0, 1, seed=0)
        assert [piece.samples for plan in plans for piece in plan] == [32_000] * crops


def test_crops_at_other_speeds_start_anywhere_they_fit():
    faster = CROPS.model_copy(update={"speeds": (1.25,)})
    starts = {
        piece.start
        for seed in range(300)
        for plan in plan_crops(speech_of(2.501, 2.501), faster, 4.0, 1, seed)
        for piece in plan
    }
    assert starts == set(range(17))


def test_every_epoch_draws_speeds_anew_and_each_as_often():
    speech, counts = random_speech(60, least=0.6), Counter()
    for plans in (
        [plan_crops(speech, PLAYED, 8.0, 1, seed) for seed in range(30)],
        [plan_recordings(speech, 8.0, 1, seed, SPEEDS) for seed in range(30)],
    ):
        epochs = [{p.recording: p.speed for plan in epoch for p in plan} for epoch in plans]
        assert {epoch.get(7) for epoch in epochs} >= set(SPEEDS)
        counts = Counter(speed for epoch in epochs for speed in epoch.values())
        assert [counts[s] / counts.total() for s in SPEEDS] == pytest.approx([1 / 3] * 3, abs=0.05)


def test_the_same_seed_draws_the_same_speeds():
    speech = random_speech(40, least=0.6)
    one, again, other = (plan_crops(speech, PLAYED, 8.0, 1, seed) for seed in (1, 1, 2))
    assert one == again != other
    one, again, other = (plan_recordings(speech, 8.0, 1, seed, SPEEDS) for seed in (1, 1, 2))
    assert one == again != other
    assert torch.equal(
        read_batch(speech, one[0]).waveforms_BN, read_batch(speech, again[0]).waveforms_BN
    )


@pytest.mark.parametrize("speed", [0.5, 0.9, 1.0, 1.1, 1.237, 2.0])
def test_a_tone_played_at_a_speed_is_as_much_higher(speed):
    speech, samples = sines_of(500, 3.0, 3.0), 16_000
    batch = read_batch(speech, (Piece(1, 1234, samples, speed),))
    assert batch.waveforms_BN.shape == (1, samples)
    assert batch.samples_B.tolist() == [samples]
    found_N = batch.waveforms_BN[0].numpy().astype(np.float64)
    spectrum_F = np.abs(np.fft.rfft(found_N * np.hanning(samples)))
    assert spectrum_F.argmax() == pytest.approx(500 * speed, abs=0.51)  # bins of 1 Hz
    times_N = (1234 + speed * np.arange(samples)) / RATE_HZ  # in the recording
    wanted_N = 10_000 / FULL_SCALE * np.sin(2 * np.pi * 500 * times_N)
    inner = slice(300, -300)  # the filter knows nothing beyond the ends
    np.testing.assert_allclose(found_N[inner], wanted_N[inner], atol=1e-4)
    assert np.abs(found_N - wanted_N).max() < 0.1


@pytest.mark.parametrize(("hz", "speed"), [(6000, 2.0), (7000, 1.25), (7600, 1.1)])
def test_a_tone_that_would_be_too_high_is_gone_and_not_folded_down(hz, speed):
    speech = sines_of(hz, 3.0)
    assert read_batch(speech, (Piece(0, 0, 16_000),)).waveforms_BN.abs().max() > 0.3
    played_N = read_batch(speech, (Piece(0, 0, 16_000, speed),)).waveforms_BN[0]
    assert played_N[300:-300].abs().max() < 1e-3


@given(speed=st.floats(0.5, 2), samples=st.integers(2000, 9000), start=st.integers(0, 500))
def test_a_piece_is_sound_up_to_its_last_samples(speed, samples, start):
    speech = sines_of(4000.3, 1.5)
    played_N = read_batch(speech, (Piece(0, start, samples, speed),)).waveforms_BN[0]
    assert len(played_N) == samples
    assert played_N.isfinite().all()
    assert played_N[-6:].abs().max() > 0.01


def test_what_a_batch_at_other_speeds_holds():
    speech = sines_of(500, 1.0, 0.5, 2.0)
    pieces = (Piece(1, 0, 10_000, 0.8), Piece(0, 0, 16_000), Piece(2, 0, 16_000, 2.0))
    batch = read_batch(speech, pieces)
    assert batch.samples_B.tolist() == [10_000, 16_000, 16_000]
    assert batch.texts == ("text 1", "text 0", "text 2")
    assert batch.waveforms_BN.dtype == torch.float32
    assert batch.waveforms_BN.shape == (3, 16_000)
    assert not batch.waveforms_BN[0, 10_000:].any()
    as_it_is = torch.from_numpy(speech.read(0, 0, 16_000).astype(np.float32)) / FULL_SCALE
    assert torch.equal(batch.waveforms_BN[1], as_it_is)


@pytest.mark.parametrize("processes", [2, 3])
def test_the_shares_of_the_processes_make_the_whole(processes):
    speech = random_speech(30, least=0.6)
    for plan in (
        plan_recordings(speech, 30.0, processes, seed=0)[0],
        plan_crops(speech, CROPS, 12.0, processes, seed=0)[0],
        plan_recordings(speech, 30.0, processes, 0, SPEEDS)[0],
        plan_crops(speech, PLAYED, 12.0, processes, seed=0)[0],
    ):
        whole = read_batch(speech, plan)
        shares = [read_batch(speech, plan, p, processes) for p in range(processes)]
        assert torch.equal(torch.cat([s.waveforms_BN for s in shares]), whole.waveforms_BN)
        assert torch.equal(torch.cat([s.samples_B for s in shares]), whole.samples_B)
        assert sum((s.texts for s in shares), ()) == whole.texts
        drawn_B = torch.rand(whole.all_rows)
        assert torch.equal(torch.cat([s.own_rows(drawn_B) for s in shares]), drawn_B)


@pytest.mark.parametrize("skip", [0, 1, 4, 5, 9, 23])
def test_plans_go_on_where_they_were(skip):
    def plan_epoch(seed):
        return [(seed, number) for number in range(4 + seed % 2)]

    whole = list(islice(endless_plans(plan_epoch, 7, 0), 40))
    assert list(islice(endless_plans(plan_epoch, 7, skip), 40 - skip)) == whole[skip:]
    assert len({seed for seed, _ in whole}) > 5  # every epoch has a seed of its own
    assert whole != list(islice(endless_plans(plan_epoch, 8, 0), 40))


def threads() -> set[threading.Thread]:
    return set(threading.enumerate())


def test_read_ahead_keeps_the_order():
    before = threads()
    assert list(read_ahead(iter(range(50)))) == list(range(50))
    assert threads() == before


def test_read_ahead_is_ahead_but_not_far():
    taken = []

    def batches():
        for number in range(50):
            taken.append(number)
            yield number

    ready = read_ahead(batches())
    assert next(ready) == 0
    most = READ_AHEAD + 2  # one was asked for, one waits to be put
    while len(taken) < most:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(taken) == most
    ready.close()


def test_faults_of_the_thread_are_raised_where_they_are_met():
    def batches():
        yield 1
        yield 2
        raise ManifestError("too little")

    before = threads()
    ready = read_ahead(batches())
    assert (next(ready), next(ready)) == (1, 2)
    with pytest.raises(ManifestError, match="too little"):
        next(ready)
    assert threads() == before


@pytest.mark.parametrize("taken", [1, 30])
def test_the_thread_ends_with_its_consumer(taken):
    before = threads()
    ready = read_ahead(iter(range(1000)))
    for _ in range(taken):
        next(ready)
    assert len(threads() - before) == 1
    ready.close()
    assert threads() == before


def test_the_thread_keeps_no_process_alive():
    ready = read_ahead(iter(range(1000)))
    before = threads()
    next(ready)
    (thread,) = threads() - before
    assert thread.daemon
    ready.close()
