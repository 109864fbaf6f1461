"""What every shard says of itself, in its first member: enough to decode it with nothing else.

In: what a run knows of its model and its tiling. Out: canonical JSON, stored as `__vtok__`, which
plain webdataset passes over; and the record again, read strictly. Knows nothing of the plan's
inputs, of samples or of tar bytes.
"""

from dataclasses import dataclass, field
from typing import Literal, cast, get_args

from vtok.codeshape import CodeShape
from vtok.errors import ShardError
from vtok.shards.fields import MAX_CODEBOOK_SIZE, FeatureDtype, decode_json, encode_json
from vtok.shards.strict import JsonObject, StrictObject

FORMAT_VERSION = 1
MAX_HEADER_BYTES = 1 << 20

Kind = Literal["tiles", "features", "indices", "images"]
Layout = Literal["sample", "block"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """The model that made the tokens, so that the same one decodes them.

    Attributes:
        name: The name it was asked for by.
        family: The architecture's family.
        weights_sha256: Digest of its weights, 64 hexadecimal digits.
        codebook_size: Number of codes of a tokenizer; None for an encoder.
        codes: The shape of a tokenizer's indices of one view; None for an encoder.
        spec: All else that decoding needs, JSON-ready: pixel range, downsampling, alignment.
    """

    name: str
    family: str
    weights_sha256: str
    codebook_size: int | None = None
    codes: CodeShape | None = None
    spec: JsonObject = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        """Return the fields in a JSON-ready dict."""
        return {
            "name": self.name,
            "family": self.family,
            "weights_sha256": self.weights_sha256,
            "codebook_size": self.codebook_size,
            "codes": self.codes.to_json() if self.codes else None,
            "spec": self.spec,
        }

    @classmethod
    def read(cls, record: StrictObject) -> "ModelRecord":
        """Return the model of a strict object.

        Raises:
            VtokError: of the object's class: a field is missing, wrong or unknown.
        """
        codebook_size = record.optional_integer("codebook_size", minimum=1)
        if codebook_size is not None and codebook_size > MAX_CODEBOOK_SIZE:
            raise record.fault(f"field 'codebook_size' is {codebook_size}, above 2^32")
        model = cls(
            name=record.text("name"),
            family=record.text("family"),
            weights_sha256=record.digest("weights_sha256"),
            codebook_size=codebook_size,
            codes=_read_codes(record),
            spec=record.mapping("spec"),
        )
        record.close()
        return model


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardHeader:
    """The first member of a shard.

    Attributes:
        kind: What the samples hold.
        layout: One member set a sample, or blocks of stacked arrays.
        plan_sha256: Digest of the plan that the shard belongs to.
        model: The model of features and indices; None for images and tiles.
        feature_dtype: What features are stored in; None for the other kinds.
        scheme: The resolution scheme and its options, JSON-ready, as decoding needs them.
    """

    kind: Kind
    layout: Layout = "sample"
    plan_sha256: str
    model: ModelRecord | None = None
    feature_dtype: FeatureDtype | None = None
    scheme: JsonObject = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.kind == "features") != (self.feature_dtype is not None):
            raise ValueError("feature_dtype is for shards of features, and for them only")
        if self.kind == "indices" and (self.model is None or self.model.codebook_size is None):
            raise ValueError("a shard of indices needs a model with a codebook_size")

    @property
    def codebook_size(self) -> int:
        """Number of codes that indices are in.

        Raises:
            ShardError: the shard does not hold indices.
        """
        if self.model is None or self.model.codebook_size is None:
            raise ShardError(f"a shard of {self.kind} has no codebook")
        return self.model.codebook_size

    def check_shape(self, shape: tuple[int, ...], *, where: str = "indices") -> None:
        """Require the shape of one view's indices to be the model's, where the header knows it.

        Raises:
            ShardError: it is another.
        """
        codes = self.model.codes if self.model else None
        problem = codes.problem(shape) if codes else None
        if problem:
            raise ShardError(f"{where}: {problem}")

    def encode(self) -> bytes:
        """Return the canonical JSON that the shard begins with."""
        return encode_json(
            {
                "format": "vtok-shard",
                "version": FORMAT_VERSION,
                "kind": self.kind,
                "layout": self.layout,
                "plan_sha256": self.plan_sha256,
                "model": self.model.to_json() if self.model else None,
                "feature_dtype": self.feature_dtype,
                "scheme": self.scheme,
            }
        )

    @classmethod
    def decode(cls, data: bytes, *, where: str) -> "ShardHeader":
        """Return the header of a shard's first member.

        Raises:
            ShardError: not JSON, of a later version, or with a field missing, wrong or unknown.
        """
        record = StrictObject(decode_json(data, where=where), where, error=ShardError)
        record.text("format", among=("vtok-shard",))
        check_version(record)
        model = record.optional_child("model")
        dtype = record.optional_text("feature_dtype")
        if dtype not in (None, *get_args(FeatureDtype)):
            raise record.fault(f"field 'feature_dtype' is {dtype!r}")
        kind = record.text("kind", among=get_args(Kind))
        layout = record.text("layout", among=get_args(Layout))
        try:
            header = cls(
                kind=cast(Kind, kind),
                layout=cast(Layout, layout),
                plan_sha256=record.digest("plan_sha256"),
                model=ModelRecord.read(model) if model else None,
                feature_dtype=cast(FeatureDtype | None, dtype),
                scheme=record.mapping("scheme"),
            )
        except ValueError as error:
            raise record.fault(str(error)) from error
        record.close()
        return header


def _read_codes(record: StrictObject) -> CodeShape | None:
    value = record.take("codes")
    try:
        return None if value is None else CodeShape.from_json(value)
    except ValueError as error:
        raise record.fault(f"field 'codes': {error}") from error


def check_version(record: StrictObject) -> None:
    """Require the format's version to be ours.

    Raises:
        VtokError: of the object's class: another version, and what to do about it.
    """
    version = record.integer("version")
    if version != FORMAT_VERSION:
        raise record.fault(
            f"format version {version}, this vtok reads {FORMAT_VERSION}: use the vtok it was "
            "written with"
        )
