"""The plan of a run: all that its bytes depend on, written before the first shard.

In: what a command was asked to do. Out: `plan.json`, a digest that every commit record and every
shard names, and a readable difference between two plans, so that a run is resumed with the same
plan or not at all. Knows nothing of how inputs are listed or of what options mean.

Identity, which decides whether two plans are the same: command, digest and number of inputs,
configuration, model and its weights, shard size, and the versions of the libraries that compute
the bytes. `about` is informative only: it may differ when a run is resumed.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vtok.errors import PlanMismatchError
from vtok.io.json_files import write_json
from vtok.io.places import Place
from vtok.quantities import counted
from vtok.shards.fields import encode_json
from vtok.shards.header import FORMAT_VERSION, ModelRecord, check_version
from vtok.shards.recordfile import read_record
from vtok.shards.strict import JsonObject, StrictObject

PLAN_NAME = "plan.json"
MANIFEST_NAME = "manifest.json"
MAX_SHARDS = 10**6
MAX_SHARD_SIZE = 10**7


def shard_name(shard: int) -> str:
    """Return the file name of a shard's tar."""
    return f"shard-{shard:06d}.tar"


def commit_name(shard: int) -> str:
    """Return the file name of a shard's commit record."""
    return f"shard-{shard:06d}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """All that the bytes of a run depend on.

    Attributes:
        command: The command's name.
        inputs_sha256: Digest of the sorted list of inputs: names, sizes, times.
        num_samples: Samples in that list.
        shard_size: Samples a shard; the last one may have fewer.
        configuration: Every option that changes a byte, JSON-ready.
        model: The model, where the command has one.
        versions: Library → version, of those that compute the bytes (Pillow, torch, vtok).
        about: Facts for people that change no byte (number of workers, Python's version).
    """

    command: str
    inputs_sha256: str
    num_samples: int
    shard_size: int
    configuration: JsonObject
    model: ModelRecord | None = None
    versions: dict[str, str] = field(default_factory=dict)
    about: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.shard_size < 1 or self.num_samples < 0 or self.num_shards > MAX_SHARDS:
            raise ValueError(
                f"{counted(self.num_samples, 'sample')} in shards of {self.shard_size} are not "
                f"a plan (at most {MAX_SHARDS} shards)"
            )

    @property
    def num_shards(self) -> int:
        """Shards of the whole run."""
        return -(-self.num_samples // self.shard_size)

    def shard_range(self, shard: int) -> range:
        """Return the positions, in the list of inputs, of the samples of a shard."""
        if not 0 <= shard < self.num_shards:
            raise ValueError(f"shard {shard} is not one of the plan's {self.num_shards}")
        start = shard * self.shard_size
        return range(start, min(start + self.shard_size, self.num_samples))

    def identity(self) -> JsonObject:
        """Return what decides whether two plans are the same, JSON-ready."""
        return {
            "command": self.command,
            "inputs": {"sha256": self.inputs_sha256, "num_samples": self.num_samples},
            "shard_size": self.shard_size,
            "configuration": self.configuration,
            "model": self.model.to_json() if self.model else None,
            "versions": self.versions,
        }

    @property
    def sha256(self) -> str:
        """Digest of the identity: 64 hexadecimal digits."""
        return hashlib.sha256(encode_json(self.identity())).hexdigest()

    def difference(self, other: "RunPlan") -> tuple[str, ...]:
        """Return one line for every field of the identity in which `other` differs; sorted."""
        mine, theirs = dict(_leaves(self.identity())), dict(_leaves(other.identity()))
        return tuple(
            f"{name}: {_shown(mine, name)} → {_shown(theirs, name)}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name, _ABSENT) != theirs.get(name, _ABSENT)
        )

    def to_json(self) -> JsonObject:
        """Return what `plan.json` holds."""
        return {
            "format": "vtok-plan",
            "version": FORMAT_VERSION,
            "sha256": self.sha256,
            "about": self.about,
            **self.identity(),
        }

    @classmethod
    def read(cls, record: StrictObject) -> "RunPlan":
        """Return the plan of a strict object.

        Raises:
            ManifestError: a field is missing, wrong, unknown or contradicts the digest.
        """
        record.text("format", among=("vtok-plan",))
        check_version(record)
        digest = record.digest("sha256")
        inputs = record.child("inputs")
        model = record.optional_child("model")
        shard_size = record.integer("shard_size", minimum=1, maximum=MAX_SHARD_SIZE)
        plan = cls(
            command=record.text("command"),
            inputs_sha256=inputs.digest("sha256"),
            num_samples=inputs.integer("num_samples", maximum=shard_size * MAX_SHARDS),
            shard_size=shard_size,
            configuration=record.mapping("configuration"),
            model=ModelRecord.read(model) if model else None,
            versions=record.texts("versions"),
            about=record.texts("about"),
        )
        inputs.close()
        record.close()
        if plan.sha256 != digest:
            raise record.fault("field 'sha256' is not the digest of the plan: it was edited")
        return plan


def read_plan(folder: Place) -> RunPlan | None:
    """Return the plan of an output folder, None if no run was begun in it.

    Raises:
        ManifestError: `plan.json` is damaged.
    """
    record = read_record(folder / PLAN_NAME)
    return None if record is None else RunPlan.read(record)


def begin_run(folder: Path, plan: RunPlan) -> bool:
    """Write `plan.json`, or find that the same plan is there; return whether it was.

    Raises:
        PlanMismatchError: the folder was begun with another plan; every difference is listed.
        ManifestError: the plan that is there is damaged.
        OutputError: the plan cannot be written.
    """
    begun = read_plan(folder)
    if begun is None:
        write_json(folder / PLAN_NAME, plan.to_json())  # the one record that people read
        return False
    check_same_plan(begun, plan, str(folder))
    return True


def check_same_plan(begun: RunPlan, plan: RunPlan, where: str) -> None:
    """Require a plan to be the one that an output was begun with.

    Args:
        begun: The one that is there.
        plan: The one of now.
        where: What to call the output.

    Raises:
        PlanMismatchError: they differ; every difference is listed.
    """
    lines = begun.difference(plan)
    if lines:
        raise PlanMismatchError(
            f"{where} was begun with another plan ({'; '.join(lines)}): "
            "give another output folder, or --overwrite"
        )


_ABSENT = object()


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) of all that is not an object, and of empty ones."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _shown(leaves: dict[str, Any], name: str) -> str:
    if name not in leaves:
        return "nothing"
    text = encode_json(leaves[name]).decode()
    return text if len(text) <= 80 else f"{text[:77]}..."
