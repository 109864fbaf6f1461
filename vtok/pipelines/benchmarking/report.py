"""The figures of a benchmark, and those that follow from them.

In: what was measured. Out: limits and ratios, and all of it for machines. Knows nothing of how it
was measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from vtok.engine.search_cost import SearchCost
from vtok.engine.times import StageTimes

Tokens = Literal["continuous", "vq"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchReport:
    """Medians over the rounds.

    Attributes:
        num_images: Images of one run.
        num_views: Views that they made.
        num_cores: Cores that this process may use.
        device: Where the model ran.
        compute_dtype: What it computed in.
        decode_ms: CPU time to prepare an image, on one core.
        model_ms: Time of the model for the views of one image, fed from memory: CPU time on a CPU.
        write_ms: CPU time to store an image's tokens.
        wall_s: Of one run, workers started and model loaded.
        cpu_s: CPU time of one run, all processes.
        serial_s: That of the run's own thread, which no number of cores makes shorter.
        tokens: What was made of the images.
        operations: Floating-point operations of the model for an image; None where none are
            counted: for a fake device, or views of many sizes.
        matrix_rate: Operations a second of a large matrix product on the same device in the same
            dtype (of one core, on a CPU); None likewise.
        batch_costs: Size of a batch → milliseconds a view; empty if not asked for.
        batch_size: Typical views a batch in the runs; None for a fake device.
        device_busy: Share of the run in which the device worked; None for a model on the CPU.
        times: Of the last run, with its spans.
        began_s: When the last run began, as spans count.
        search: Costs of the search for the nearest code.
    """

    num_images: int
    num_views: int
    num_cores: int
    device: str
    compute_dtype: str
    decode_ms: float
    model_ms: float
    write_ms: float
    wall_s: float
    cpu_s: float
    device_busy: float | None
    times: StageTimes
    began_s: float
    serial_s: float = 0.0
    tokens: Tokens = "continuous"
    operations: float | None = None
    matrix_rate: float | None = None
    batch_costs: Mapping[int, float] = field(default_factory=dict)
    batch_size: int | None = None
    search: tuple[SearchCost, ...] = ()

    @property
    def matrix_share(self) -> float | None:
        """The model's operations a second as a share of the matrix rate."""
        if self.operations is None or not self.matrix_rate or not self.model_ms:
            return None
        return self.operations / (self.model_ms / 1000) / self.matrix_rate

    @property
    def limit_s(self) -> float:
        """What a run must take: all work over the cores, or the slowest stage beside a device."""
        host_ms = self.decode_ms + self.write_ms
        if self.device_busy is None:
            return self.num_images * (host_ms + self.model_ms) / 1000 / self.num_cores
        return self.num_images * max(self.model_ms, host_ms / self.num_cores) / 1000

    @property
    def wall_over_limit(self) -> float:
        """Wall time of a run over its limit; 1 is perfect."""
        return self.wall_s / self.limit_s

    @property
    def cpu_over_stages(self) -> float | None:
        """CPU time of a run over that of model and preparation alone; None beside a device."""
        if self.device_busy is not None:
            return None
        return self.cpu_s * 1000 / self.num_images / (self.decode_ms + self.model_ms)

    @property
    def cores_to_feed(self) -> float:
        """Cores that prepare and write as fast as the model takes images."""
        return (self.decode_ms + self.write_ms) / self.model_ms if self.model_ms else float("inf")

    def to_json(self) -> dict[str, Any]:
        """Return the report for machines."""
        return {
            "images": self.num_images,
            "views": self.num_views,
            "cores": self.num_cores,
            "device": self.device,
            "compute_dtype": self.compute_dtype,
            "stages_ms_per_image": {
                "decode": round(self.decode_ms, 3),
                "model": round(self.model_ms, 3),
                "write": round(self.write_ms, 3),
            },
            "run": {
                "wall_s": round(self.wall_s, 3),
                "cpu_s": round(self.cpu_s, 3),
                "serial_ms_per_image": round(self.serial_s * 1000 / self.num_images, 4),
                "images_per_second": round(self.num_images / self.wall_s, 2),
                "limit_s": round(self.limit_s, 3),
                "wall_over_limit": round(self.wall_over_limit, 3),
                "cpu_over_stages": self.cpu_over_stages and round(self.cpu_over_stages, 3),
                "device_busy": self.device_busy and round(self.device_busy, 3),
                **self.times.to_json(),
            },
            "decode_images_per_second_per_core": round(1000 / self.decode_ms, 1),
            "cores_to_feed_the_model": round(self.cores_to_feed, 2),
            "model": {
                "flop_per_image": self.operations and round(self.operations),
                "matrix_gflops": self.matrix_rate and round(self.matrix_rate / 1e9, 1),
                "share_of_matrix_rate": self.matrix_share and round(self.matrix_share, 3),
                "batch_size": self.batch_size,
                "ms_per_view_by_batch": {
                    str(size): round(cost, 3) for size, cost in self.batch_costs.items()
                },
            },
            "search": [cost.to_json() for cost in self.search],
        }
