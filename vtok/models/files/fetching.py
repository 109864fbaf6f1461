"""A published tokenizer's files, from a hub to this machine.

In: a preset, or a hub id (`owner/name`). Out: the place of its files, fetched where they are not
yet there. Opens none of them.
"""

from pathlib import Path

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from vtok.errors import WeightsError
from vtok.models.files.folder import CONFIG_NAME, PROGRAM, SAFETENSORS, WEIGHTS_NAME
from vtok.models.files.hub import unfetched
from vtok.models.presets import Preset

# What a hub's repository is asked for: no optimizer states, no flax copies, no samples.
_HUB_FILES = (CONFIG_NAME, "*.yaml", WEIGHTS_NAME, "diffusion_pytorch_model.safetensors")
_HUB_PROGRAMS = ("encoder.jit", "decoder.jit")
_HUB_PICKLES = ("*.ckpt", "*.pt", "*.pth", "*.bin")


def fetched_preset(name: str, preset: Preset) -> Path:
    """Return the local weights file of a published model, or their folder where they are two.

    Raises:
        WeightsError: it cannot be fetched, or its authors have it elsewhere.
    """
    if not preset.hub_id:
        raise WeightsError(
            f"{name}: its authors publish {' and '.join(preset.files)} at {preset.page}: get them, "
            "and name their folder"
        )
    try:
        paths = [Path(hf_hub_download(preset.hub_id, file)) for file in preset.files]
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise unfetched(preset.hub_id, error) from error
    is_pair = preset.files[1:] and preset.files[1].endswith(PROGRAM)
    return paths[0].parent if is_pair else paths[0]


def fetched(hub_id: str) -> Path:
    """Return the local copy of a hub's model, fetched where it is not yet there.

    Programs are fetched only where the repository has no safetensors, and pickles only where it
    has neither.
    """
    try:
        path = Path(snapshot_download(hub_id, allow_patterns=list(_HUB_FILES)))
        for others in (_HUB_PROGRAMS, _HUB_PICKLES):
            if not any(each.suffix in (SAFETENSORS, PROGRAM) for each in path.iterdir()):
                path = Path(snapshot_download(hub_id, allow_patterns=[*_HUB_FILES, *others]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise unfetched(hub_id, error) from error
    return path
