"""The stored references as the files that their authors publish, written into a folder."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from parity import GOLDEN
from programs import levels_of, save_program
from safetensors.torch import load_file, save_file
from seeded import seeded_state

from vtok.models.files.pickles import read_pickle
from vtok.models.files.standins import Inert, module_state


def chameleon(folder: Path) -> Path:
    return _copied(folder, "chameleon", "vqgan.ckpt", "vqgan.yaml")


def chameleon_hf(folder: Path) -> Path:
    """transformers' layout: the encoder's half of the tensors, and a configuration of its own."""
    held = read_pickle(GOLDEN / "chameleon" / "vqgan.ckpt")
    assert isinstance(held, dict)
    state = {n: t.clone() for n, t in held["state_dict"].items() if not n.startswith("decoder.")}
    save_file(state, folder / "model.safetensors")
    shutil.copy(GOLDEN / "chameleon" / "hf-config.json", folder / "config.json")
    return folder


def open_magvit2(folder: Path) -> Path:
    """Lightning's layout: averaged weights without dots, and last ones that are 5 % off."""
    averaged = load_file(GOLDEN / "open-magvit2" / "averaged.safetensors")
    state = {name: tensor * 1.05 for name, tensor in averaged.items()}
    state |= {f"model_ema.{name.replace('.', '')}": tensor for name, tensor in averaged.items()}
    state["model_ema.decay"] = torch.tensor(0.999)
    state["model_ema.num_updates"] = torch.tensor(7, dtype=torch.int32)
    state["loss.discriminator.main.0.weight"] = torch.ones(4, 3, 4, 4)
    torch.save({"epoch": 1, "state_dict": state}, folder / "model.ckpt")
    return _copied(folder, "open-magvit2", "config.yaml")


def llamagen(folder: Path) -> Path:
    """LlamaGen's trainer: no configuration, `model` beside other things."""
    state = load_file(GOLDEN / "llamagen" / "model.safetensors")
    state["quantize.codebook_used"] = torch.zeros(65536)
    torch.save({"model": state, "steps": 3}, folder / "vq_ds16_c2i.pt")
    return folder


def dalle(folder: Path) -> Path:
    """Two pickles of whole modules, of classes that are not installed."""
    return _copied(folder, "dalle", "encoder.pkl", "decoder.pkl")


def dalle_hf(folder: Path) -> Path:
    """FLAVA's layout: the encoder alone, each part one module deeper."""
    state = module_state(_inert(GOLDEN / "dalle" / "encoder.pkl"))
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"(blocks\.group_\d+)\.", r"\1.group.", name)
        name = name.replace(".res_path.", ".res_path.path.")
        name = re.sub(r"\.w$", ".weight", re.sub(r"\.b$", ".bias", name))
        renamed[name] = tensor.clone()
    save_file(renamed, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "flava_image_codebook"}))
    return folder


def trainer(folder: Path) -> Path:
    """taming's layout, which others kept: Lightning's file, the model's shape in a yaml."""
    config, state = _seeded(folder.name)
    torch.save({"epoch": 1, "state_dict": state}, folder / "last.ckpt")
    (folder / "model.yaml").write_text(json.dumps(config))  # JSON is YAML
    return folder


def llamagen_vq8(folder: Path) -> Path:
    """LlamaGen's evaluation checkpoints: averaged weights under `ema`, last ones beside them."""
    _, state = _seeded(folder.name)
    last = {name: tensor * 1.05 for name, tensor in state.items()}
    torch.save({"ema": state, "model": last}, folder / "vq_ds8_c2i.pt")
    return folder


def hub(folder: Path) -> Path:
    """Open-MUSE's and Show-o's layout: a plain state dict and a configuration beside it."""
    config, state = _seeded(folder.name)
    if folder.name == "show-o":
        state["quantize.embedding"] = torch.zeros(512, 9)
        state["quantize.power_vals"] = 2 ** torch.arange(8, -1, -1)
    torch.save(state, folder / "pytorch_model.bin")
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def original_paella(folder: Path) -> Path:
    """The authors' own file: `state_dict` alone, and no configuration."""
    _, state = _seeded(folder.name)
    torch.save({"state_dict": state}, folder / "vqgan_f4_v1_500k.pt")
    return folder / "vqgan_f4_v1_500k.pt"


def cosmos_state(family: str) -> dict[str, torch.Tensor]:
    """Under its authors' names; the last layer smaller, as one whose pixels stay in range."""
    _, state = _seeded(family)
    for name in ("decoder.conv_out.weight", "decoder.conv_out.bias"):
        state[name] = state[name] / 16
    return state


def cosmos(folder: Path) -> Path:
    """NVIDIA's layout: two programs, their tables among the weights, and both in a third."""
    levels = (8, 8, 8, 5, 5, 5)
    tap = torch.full((2,), 0.5**0.5)
    tables = {"patcher.wavelets": tap, "patcher._arange": torch.arange(2)}
    parts: dict[str, dict[str, torch.Tensor]] = {"encoder": {}, "decoder": {}}
    for name, tensor in cosmos_state(folder.name).items():
        side = "decoder" if name.startswith(("decoder.", "post_quant_conv.")) else "encoder"
        parts[side][name] = tensor
    parts["encoder"] |= {f"encoder.{name}": tensor for name, tensor in tables.items()}
    parts["encoder"] |= levels_of(levels, "quantizer")
    parts["decoder"] |= {f"decoder.un{name}": tensor for name, tensor in tables.items()}
    whole = parts["encoder"] | parts["decoder"]
    parts["decoder"] |= levels_of(levels, "inv_quant.quantizer")
    for stem, tensors in (*parts.items(), ("autoencoder", whole)):
        save_program(tensors, folder / f"{stem}.jit")
    return folder


def cosmos_plain(folder: Path) -> Path:
    """A state dict by itself, in which tables are not stored: the published ones hold."""
    torch.save(cosmos_state(folder.name), folder / "model.pt")
    return folder


def rqvae(folder: Path) -> Path:
    """Its trainer's layout: one codebook stored at each depth, with averages of training."""
    _, state = _seeded(folder.name)
    shared = state["quantizer.codebooks.0.weight"]
    for depth in range(4):
        state[f"quantizer.codebooks.{depth}.weight"] = shared
        state[f"quantizer.codebooks.{depth}.cluster_size_ema"] = torch.ones(len(shared) - 1)
        state[f"quantizer.codebooks.{depth}.embed_ema"] = shared[:-1] * 1.05
    last = {"weight": torch.ones(2)}
    torch.save({"epoch": 10, "state_dict": state, "discriminator": last}, folder / "model.pt")
    (folder / "config.yaml").write_text(json.dumps({"arch": {"type": "rq-vae"}}))
    return folder


STORED: dict[str, tuple[str, Callable[[Path], Path]]] = {  # label → references, writer
    "chameleon": ("chameleon", chameleon),
    "chameleon (HF)": ("chameleon", chameleon_hf),
    "open-magvit2": ("open-magvit2", open_magvit2),
    "llamagen": ("llamagen", llamagen),
    "llamagen VQ-8": ("llamagen-vq8", llamagen_vq8),
    "ldm vq-f4": ("ldm-f4", trainer),
    "ldm vq-f8": ("ldm-f8", trainer),
    "ldm vq-f16": ("ldm-f16", trainer),
    "cosmos DI8x8": ("cosmos-di8", cosmos),
    "cosmos DI16x16": ("cosmos-di16", cosmos_plain),
    "dalle": ("dalle", dalle),
    "dalle (HF)": ("dalle", dalle_hf),
    "rq-vae": ("rq-vae", rqvae),
    "taming": ("taming", trainer),
    "taming-gumbel": ("taming-gumbel", trainer),
    "ibq": ("ibq", trainer),
    "maskgit": ("maskgit", hub),
    "movq": ("movq", hub),
    "muse-vqgan": ("muse-vqgan", hub),
    "paella": ("paella", hub),
    "paella (original)": ("paella", original_paella),
    "show-o": ("show-o", hub),
}


def rewrite_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _seeded(family: str) -> tuple[dict[str, object], dict[str, torch.Tensor]]:
    model = json.loads((GOLDEN / family / "model.json").read_text())
    return model["config"], seeded_state(model["tensors"], model["seed"], model.get("gains"))


def _inert(path: Path) -> Inert:
    held = read_pickle(path)
    assert isinstance(held, Inert)
    return held


def _copied(folder: Path, family: str, *names: str) -> Path:
    for name in names:
        shutil.copy(GOLDEN / family / name, folder / name)
    return folder
