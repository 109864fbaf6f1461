"""A sharded checkpoint whose language model is ten times its tower: mostly holes in sparse files.

Run as a program, it loads the tower (and the projector) of the folder given, and prints what that
took: bytes that the process read, and by how much its memory grew at most.
"""

import gc
import json
import re
import sys
from pathlib import Path
from typing import Any

import torch

TOWER = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 5}
TEXT = {"hidden_size": 768, "intermediate_size": 4096, "num_attention_heads": 8, "vocab_size": 4096}


def is_language(name: str) -> bool:
    return "language_model" in name or name.startswith("lm_head")


def write(folder: Path) -> tuple[int, int]:
    """Write it in three files; return the bytes of tower and projector, and of the rest."""
    import transformers as tf

    config = tf.LlavaConfig(
        vision_config=tf.CLIPVisionConfig(**TOWER, num_attention_heads=8, image_size=56),
        text_config=tf.LlamaConfig(**TEXT, num_hidden_layers=16),
    )
    with torch.device("meta"):
        shapes = {
            n: t.shape for n, t in tf.LlavaForConditionalGeneration(config).state_dict().items()
        }
    language = [name for name in shapes if is_language(name)]
    seen = [name for name in shapes if not is_language(name)]
    half = len(language) // 2
    shards = [language[:half], [language[half], *seen, language[-1]], language[half + 1 : -1]]
    folder.mkdir()
    config.save_pretrained(folder)
    index = {}
    sizes = {name: 4 * shape.numel() for name, shape in shapes.items()}
    for number, names in enumerate(shards, 1):
        file = f"model-{number:05d}-of-00003.safetensors"
        header, offset = {}, 0
        for name in names:
            end = offset + sizes[name]
            facts = {"dtype": "F32", "shape": list(shapes[name]), "data_offsets": [offset, end]}
            header[name], offset = facts, end
            index[name] = file
        text = json.dumps(header).encode()
        with (folder / file).open("wb") as stream:
            stream.write(len(text).to_bytes(8, "little") + text)
            begin = stream.tell()
            for name in names:
                if not is_language(name):
                    stream.seek(begin + header[name]["data_offsets"][0])
                    stream.write(torch.rand(shapes[name]).mul_(0.02).numpy().tobytes())
            stream.truncate(begin + offset)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return sum(sizes[n] for n in seen), sum(sizes[n] for n in language)


def _figure(file: str, name: str) -> int:
    found = re.search(rf"^{name}:\s*(\d+)", Path(file).read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def measure(small: str, folder: str) -> dict[str, Any]:
    """Load a small model to have everything imported, then this one, and count (Linux)."""
    from vtok.models.registry import load_encoder

    torch.set_num_threads(1)
    load_encoder(small, output="projected")
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is the present from here on
    memory, read = _figure("/proc/self/status", "VmRSS"), _figure("/proc/self/io", "rchar")
    encoder = load_encoder(folder, output="projected")
    return {
        "peak_bytes": (_figure("/proc/self/status", "VmHWM") - memory) * 1024,
        "read_bytes": _figure("/proc/self/io", "rchar") - read,
        "counted_bytes": encoder.num_bytes_read,  # type: ignore[attr-defined]
        "parameter_bytes": sum(4 * p.numel() for p in encoder.parameters()),
    }


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))  # noqa: T201
