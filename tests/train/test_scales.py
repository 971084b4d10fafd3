"""The scales of a model's inputs come from its training utterances and nothing else."""

import torch

from mfas.train import Features, fit
from mfas.train.scales import fit_scales


def extremes(data, utterances):
    batch = data.features.batch(data.segments_of(utterances))
    frames_FN = torch.cat(
        [s[:, :n] for s, n in zip(batch.spectrograms_BFV, batch.frames_B, strict=True)], dim=1
    )
    return frames_FN.amin(dim=1), frames_FN.amax(dim=1)


def test_spectrogram_extremes_are_those_of_the_training_utterances(
    experiment, make_model, said_by, settings
):
    train, validation = said_by("ann", "bob"), said_by("cid")
    model = make_model()
    fit(model, experiment.data, train, validation, settings(epochs=1), 0, lambda facts: None)
    minimum_F, maximum_F = extremes(experiment.data, train)
    torch.testing.assert_close(model.head.scale.minimum_F, minimum_F)
    torch.testing.assert_close(
        model.head.scale.maximum_F, torch.maximum(maximum_F, minimum_F + 1e-3)
    )
    with_validation, _ = extremes(experiment.data, (*train, *validation))
    assert not torch.equal(with_validation, minimum_F)


def test_no_other_utterance_is_read(experiment, make_model, said_by, monkeypatch):
    train, seen, read = said_by("ann", "dot"), set(), Features.batch

    def recording(self, chosen):
        seen.update(u for u, _ in chosen)
        return read(self, chosen)

    monkeypatch.setattr(Features, "batch", recording)
    fit_scales(make_model(), experiment.data, train)
    assert seen == set(train)


def test_padding_does_not_change_the_scales(experiment, make_model, said_by, monkeypatch):
    """What lies behind the end of a segment is not looked at."""
    read = Features.batch

    def with_garbage(self, chosen):
        batch = read(self, chosen)
        for row, frames in enumerate(batch.frames_B.tolist()):
            batch.spectrograms_BFV[row, :, frames:] = 1e4
            batch.mfccs_BVC[row, frames:] = -1e4
        return batch

    clean, dirty = make_model(), make_model()
    fit_scales(clean, experiment.data, said_by("ann"))
    monkeypatch.setattr(Features, "batch", with_garbage)
    fit_scales(dirty, experiment.data, said_by("ann"))
    for name, value in clean.state_dict().items():
        assert torch.equal(dirty.state_dict()[name], value), name
