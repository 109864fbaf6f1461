"""Names to models: a tokenizer or an encoder, whatever it is and wherever its files are.

In: a name (`vtok-base`, `llamagen-vq16`), a model folder, a weights file, or a hub id
(`owner/name`). Out: a tokenizer or an encoder in eval mode that knows its specification and its
weights' digest. Knows nothing of images.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from vtok.errors import UsageError, WeightsError
from vtok.models.base import Encoder, EncoderSpec, Output, Tokenizer
from vtok.models.building import Parts, tokenizer_parts, vtok_base_config
from vtok.models.files import torchscript
from vtok.models.files.converted import check_converted_output, write_converted
from vtok.models.files.pickles import is_program
from vtok.models.files.weights import ModelFolder, load_model, read_model, read_state
from vtok.models.finding import SHIPPED, find_folder, is_of_timm, vision_source
from vtok.models.presets import PRESETS
from vtok.models.vision.loading import load_vision_encoder, vision_spec
from vtok.models.vision.sequence import ModelSequence
from vtok.models.vision.sequence import load_sequence as sequence_of
from vtok.models.vision.timm_models import load_timm_encoder
from vtok.models.vit import FAMILY as VIT_FAMILY
from vtok.models.vit import vit_from_json
from vtok.models.vtok_base import VtokBaseEncoder
from vtok.models.vtok_base_networks import FAMILY

DEFAULT_MODEL = "vtok-base"
_ENCODER_SKIPS = ("quantizer.", "diffusion.", "synthesis.")  # of this package's own model


def load_tokenizer(
    name: str = DEFAULT_MODEL, family: str | None = None, *, allow_torchscript: bool = False
) -> Tokenizer:
    """Return a tokenizer, ready to run on the CPU in fp32.

    Of a TorchScript file the tensors are read, and none of its code is run.

    Args:
        name: A shipped model's or preset's name, a model folder, a weights file, or a hub id.
        family: What it is, where its files do not say so, or say it wrongly; `torchscript` for a
            program that is run whether its tensors are understood or not.
        allow_torchscript: Run the code in a TorchScript file whose tensors are not of an
            architecture that is known here. It can do what torch can: read and write files, too.

    Raises:
        UnknownNameError: there is no such model or family; the message has the near names.
        WeightsError: its files are missing, damaged, or of an unknown family.
        UsageError: it is to be run as a program, which was not allowed.
    """
    folder = find_folder(name)
    as_program = family == torchscript.FAMILY
    if as_program and not allow_torchscript:
        raise UsageError(f"{folder.path}: a TorchScript program: {torchscript.ALLOW}")
    state: Mapping[str, Tensor] = {}
    try:
        folder, state = read_model(folder)
        if not as_program:
            return _tokenizer(folder, state, name, family)
    except WeightsError as error:
        if not all(is_program(path) for path in folder.weights):
            raise _located(error, folder) from error
        if not allow_torchscript:
            hint = f" (its code is TorchScript: {torchscript.ALLOW})" if state else ""
            raise _located(WeightsError(f"{error}{hint}"), folder) from error
    return _checked(name, torchscript.load_programs(folder, state, name=name))


def convert_tokenizer(name: str, output: Path, family: str | None = None) -> ModelFolder:
    """Write a tokenizer as a folder of safetensors that says by itself what it is.

    Args:
        name: As for `load_tokenizer`.
        output: A folder that is empty, not there, or as the same conversion left it, whole or cut
            short; `load_tokenizer` takes it.
        family: As for `load_tokenizer`.

    Raises:
        OutputError: the folder holds something else, or cannot be written.
        VtokError: as for `load_tokenizer`; nothing is written then.
    """
    check_converted_output(output)  # before weights of gigabytes are read
    folder = find_folder(name)
    try:
        folder, state = read_model(folder)
        tokenizer = _tokenizer(folder, state, name, family)
    except WeightsError as error:
        raise _located(error, folder) from error
    licence = PRESETS[name].licence if name in PRESETS else str(folder.source.get("licence") or "")
    config = {key: value for key, value in folder.config.items() if key != "family"}
    return write_converted(output, tokenizer, config, state, licence=licence)


def _tokenizer(
    folder: ModelFolder, state: Mapping[str, Tensor], name: str, family: str | None
) -> Tokenizer:
    """Return the tokenizer that these tensors are.

    Raises:
        VtokError: as for `load_tokenizer`.
    """
    config = folder.config
    if name in PRESETS:
        family = family or PRESETS[name].family
        config = {**config, **PRESETS[name].config}
    parts: Parts = tokenizer_parts(config, state, name=name, family=family)
    tokenizer = _checked(name, load_model(parts.make, parts.state, folder))
    tokenizer.weights_sha256 = folder.weights_sha256
    tokenizer.source_sha256 = str(folder.source.get("weights_sha256") or "")
    return tokenizer.eval()


def load_encoder(
    name: str = DEFAULT_MODEL, *, output: Output = "patches", layers: tuple[int, ...] = ()
) -> Encoder:
    """Return an encoder, ready to run on the CPU in fp32.

    Of a whole vision-language model only the vision tower is read, and the projector where it is
    needed.

    Args:
        name: A shipped model's name, a model folder, or a hub id.
        output: What its features are to be; a model has some of them.
        layers: The states between its layers to take, one after the other in each vector, instead
            of the model's own choice: 0 before the first layer, -1 after the last.

    Raises:
        UnknownNameError: there is no such model; the message has the near names.
        WeightsError: its files are missing, damaged, or of an architecture not known here.
        UsageError: it does not have that output or layer.
    """
    source = vision_source(name)
    if source is not None:
        load = load_timm_encoder if is_of_timm(source) else load_vision_encoder
        return load(source, name=name, output=output, layers=layers)
    folder = find_folder(name)
    config = folder.config
    if config.get("family") not in (FAMILY, VIT_FAMILY):
        raise WeightsError(
            f"{folder.path}: family {config.get('family')!r} has no continuous features here: "
            f"there are {FAMILY}, {VIT_FAMILY}, and what transformers and timm have"
        )
    if output != "patches":
        raise UsageError(f"{name} has no {output} output: it has patches")
    try:
        encoder = _own_encoder(folder, name, layers)
    except WeightsError as error:
        raise _located(error, folder) from error
    encoder.weights_sha256 = folder.weights_sha256
    return encoder.eval()


def encoder_spec(name: str) -> EncoderSpec:
    """Return the facts of an encoder; of a model of transformers, without reading its weights.

    Raises:
        VtokError: as for `load_encoder`.
    """
    source = vision_source(name)
    if source is None or is_of_timm(source):
        return load_encoder(name).spec
    return vision_spec(source, name=name)


def _own_encoder(folder: ModelFolder, name: str, layers: tuple[int, ...]) -> Encoder:
    """Return an encoder of this package's own architectures."""
    config, state = folder.config, read_state(folder)
    if config["family"] == VIT_FAMILY:
        return load_model(lambda: vit_from_json(config, name, layers), state, folder)
    shape = vtok_base_config(config)
    needed = {n: t for n, t in state.items() if not n.startswith(_ENCODER_SKIPS)}
    return load_model(lambda: VtokBaseEncoder(shape, name=name, layers=layers), needed, folder)


def load_sequence(name: str) -> ModelSequence:
    """Return how a whole vision-language model packs the vectors of an image.

    Raises:
        UnknownNameError: there is no such model.
        UsageError: it has no language model.
        WeightsError: its files are missing or damaged.
    """
    source = vision_source(name)
    if source is None or is_of_timm(source):
        if source is None:
            find_folder(name)
        raise UsageError(f"--packed: {name} has no language model whose sequence this could be")
    return sequence_of(source, name=name)


def encoder_digest(name: str) -> str | None:
    """Return the digest of an encoder's weights where it is known without loading them.

    Raises:
        UnknownNameError: there is no such model.
        WeightsError: its files are missing or damaged.
    """
    return None if vision_source(name) is not None else find_folder(name).weights_sha256


def _checked(name: str, tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer; a published one is held to what the table says of it.

    Raises:
        WeightsError: the file fetched is of another model.
    """
    preset, spec = PRESETS.get(name), tokenizer.spec
    if preset is None or name in SHIPPED:
        return tokenizer
    if (spec.downsample, spec.codebook_size) != (preset.downsample, preset.codebook_size):
        raise WeightsError(
            f"{name} should have {preset.codebook_size} codes at 1/{preset.downsample} "
            f"of the size, and {preset.hub_id} has {spec.codebook_size} at 1/{spec.downsample}"
        )
    if spec.codes != preset.codes:
        raise WeightsError(
            f"{name} should give indices {preset.codes}, and {preset.hub_id} gives {spec.codes}"
        )
    return tokenizer


def _located(error: WeightsError, folder: ModelFolder) -> WeightsError:
    """Return the error with the model's place in front, unless it has one."""
    message = str(error)
    return error if str(folder.path) in message else WeightsError(f"{folder.path}: {message}")
