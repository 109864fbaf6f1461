"""vtok: images to tokens for multimodal models, and tokens back to images.

The library behind the commands: `plan`, `load_tokenizer`, `load_encoder`, `open_shards`. Each is
loaded when it is first used: `import vtok` costs nothing, and only the two that load models load
torch.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vtok.models.registry import load_encoder, load_tokenizer
    from vtok.pipelines.planning import plan
    from vtok.shards.shardset import open_shards

__version__ = "0.1.0"

__all__ = ["__version__", "load_encoder", "load_tokenizer", "open_shards", "plan"]

_HOMES = {
    "load_encoder": "vtok.models.registry",
    "load_tokenizer": "vtok.models.registry",
    "open_shards": "vtok.shards.shardset",
    "plan": "vtok.pipelines.planning",
}


def __getattr__(name: str) -> Any:
    """Load a name of the library on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'vtok' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Name what there is, loaded or not."""
    return sorted([*globals(), *_HOMES])
