"""Speech models of Hugging Face as encoders: wav2vec 2.0, data2vec-audio, HuBERT, WavLM and kin.

A folder with config.json and model.safetensors enters; an encoder leaves. A checkpoint with a head,
as wav2vec2-base-960h with its CTC head, gives its encoder. SpecAugment and LayerDrop are off, even
in fine-tuning: every level must exist in every step (choice). The last level is the model's last
hidden state, behind its final layer norm where it has one.

Shape legend: B segments, N samples, L levels, T encoder frames, D width.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor
from transformers import AutoConfig, AutoModel
from transformers.utils import logging as transformers_logging

from mfas.audio import RATE_HZ, SEGMENT_SAMPLES
from mfas.encoders.base import Role, SpeechEncoder, level_layers
from mfas.encoders.front_ends import standardised
from mfas.encoders.padding import Ends, ends_at, guard_padding
from mfas.errors import ModelError
from mfas.storage import read_json, write_bytes, write_json

UNTRAINED = "mfas_untrained"  # key of config.json that marks random weights
PREPROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_MASKABLE = ("wav2vec2", "hubert", "data2vec-audio")
_VOLATILE = ("transformers_version", "architectures", "_name_or_path", "dtype", "torch_dtype")


class HuggingFaceEncoder(SpeechEncoder):
    """A Hugging Face speech model in `folder`, known to results as `name`.

    Waveforms are standardised over their real samples if the folder's preprocessor says so, or says
    nothing (choice). Padding would change the results of models other than wav2vec2, HuBERT and
    data2vec-audio; they are fine-tuned in groups of equal length, which is slower.

    Raises `ModelError` if the folder has no safetensors, another architecture, another sampling
    rate, or weights that do not cover the encoder.
    """

    def __init__(self, folder: Path, role: Role = "sec", name: str | None = None) -> None:
        super().__init__()
        self.name = name or str(folder)
        config = _config(Path(folder), self.name)
        self.trained = not getattr(config, UNTRAINED, False)
        self.normalise = _normalises(Path(folder), self.name)
        self.dim, self.depth = config.hidden_size, config.num_hidden_layers
        self.layers = level_layers(self.depth, role, self.name)
        self.model = _model(Path(folder), config, self.name)
        self.masks_padding = config.model_type in _MASKABLE
        if self.masks_padding:
            guard_padding(self.model)
        self.receptive_field = _receptive_field(config)
        self.frames_per_segment = int(self._count_frames(torch.tensor(SEGMENT_SAMPLES)))

    def save(self, folder: Path) -> None:
        """Write config.json, preprocessor_config.json and model.safetensors."""
        write_model_folder(self.model, Path(folder), self.normalise)

    def _count_frames(self, samples_B: Tensor) -> Tensor:
        return self.model._get_feat_extract_output_lengths(samples_B)

    def _levels(self, waveforms_BN: Tensor, samples_B: Tensor) -> Tensor:
        if self.normalise:
            waveforms_BN = standardised(waveforms_BN, samples_B)
        if bool((samples_B == waveforms_BN.shape[1]).all()):
            output = self.model(waveforms_BN, output_hidden_states=True)
        else:
            positions_N = torch.arange(waveforms_BN.shape[1], device=waveforms_BN.device)
            mask_BN = (positions_N < samples_B[:, None]).long()
            with ends_at(Ends(samples_B, self._count_frames(samples_B))):
                output = self.model(waveforms_BN, mask_BN, output_hidden_states=True)
        hidden = (*output.hidden_states[:-1], output.last_hidden_state)
        return torch.stack([hidden[layer] for layer in self.layers], dim=1).float()

    def _settings(self) -> Mapping[str, Any]:
        config = self.model.config.to_diff_dict()
        kept = {key: value for key, value in config.items() if key not in _VOLATILE}
        return {"config": kept, "layers": self.layers, "normalise": self.normalise}


def write_model_folder(model: Any, folder: Path, normalise: bool) -> None:
    """Write a transformers speech model and the preprocessor settings that go with it."""
    preprocessor = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "sampling_rate": RATE_HZ,
        "do_normalize": normalise,
        "feature_size": 1,
        "padding_side": "right",
        "padding_value": 0.0,
        "return_attention_mask": False,
    }
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    write_bytes(folder / "model.safetensors", save(weights, metadata={"format": "pt"}))
    write_json(folder / PREPROCESSOR_FILES[0], preprocessor)
    write_json(folder / "config.json", model.config.to_diff_dict())


def _config(folder: Path, name: str) -> Any:
    """The folder's configuration with every augmentation off."""
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{name}: not a model that transformers knows; name a wav2vec2, data2vec-audio, hubert "
            "or wavlm model, or update transformers"
        ) from error
    if getattr(config, "add_adapter", False) or not hasattr(config, "conv_kernel"):
        raise ModelError(
            f"{name}: {config.model_type} does not give one frame every 20 ms of speech; name a "
            "wav2vec2, data2vec-audio, hubert or wavlm model"
        )
    config.apply_spec_augment = False
    config.mask_time_prob = config.mask_feature_prob = config.layerdrop = 0.0
    return config


def _model(folder: Path, config: Any, name: str) -> Any:
    """The encoder itself, with all of its weights from the folder."""
    if not any(folder.glob("model*.safetensors")):
        raise ModelError(
            f"{name}: has no model.safetensors; load it with transformers and save_pretrained() it "
            "to a folder, or give the revision of the Hub's safetensors conversion (refs/pr/...)"
        )
    try:
        with _quiet():
            model, report = AutoModel.from_pretrained(
                folder,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).replace("\n", " ").strip()[:120]
        raise ModelError(f"{name}: weights cannot be loaded ({reason}); copy it again") from error
    missing = sorted(set(report["missing_keys"]) - {"masked_spec_embed"})
    if missing:
        raise ModelError(
            f"{name}: {len(missing)} weights of the encoder are missing, e.g. {missing[0]}; "
            "copy it again or name a complete checkpoint"
        )
    if not hasattr(model, "_get_feat_extract_output_lengths"):
        raise ModelError(
            f"{name}: {config.model_type} cannot say how many frames it gives; "
            "name a wav2vec2, data2vec-audio, hubert or wavlm model"
        )
    return model


def _normalises(folder: Path, name: str) -> bool:
    """Whether waveforms are to be standardised. Raises `ModelError` unless they are 16 kHz."""
    settings: dict[str, Any] = {}
    for file in PREPROCESSOR_FILES:
        if (folder / file).is_file():
            found = read_json(folder / file)
            settings = {**found.get("feature_extractor", found), **settings}
    rate_hz = settings.get("sampling_rate", RATE_HZ)
    if rate_hz != RATE_HZ:
        raise ModelError(f"{name}: made for {rate_hz} Hz; name a model for {RATE_HZ} Hz")
    return bool(settings.get("do_normalize", True))


def _receptive_field(config: Any) -> int:
    field = 1
    for kernel, stride in zip(config.conv_kernel[::-1], config.conv_stride[::-1], strict=True):
        field = (field - 1) * stride + kernel
    return field


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep progress bars and load reports off standard error; what matters is raised instead."""
    verbosity = transformers_logging.get_verbosity()
    bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()
