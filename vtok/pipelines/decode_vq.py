"""`vtok decode-vq`: indices back to images, by the model that the shards or the user name.

In: a `DecodeVqConfig`. Out: a folder of images, or of shards of images, and how alike they and
their originals are, if these are given.
"""

import time

from vtok.engine.frechet import FidMeter
from vtok.errors import FinishedWithFailuresError
from vtok.models.inception import find_weights
from vtok.pipelines.config.commands import DecodeVqConfig
from vtok.pipelines.decoding.compare import compare
from vtok.pipelines.decoding.files import FilesOutput
from vtok.pipelines.decoding.shards import ShardsOutput
from vtok.pipelines.decoding.work import DecodeWork
from vtok.pipelines.inputs.items import list_inputs
from vtok.pipelines.outputs.folder import check_output
from vtok.pipelines.outputs.outcome import DecodeReport
from vtok.pipelines.outputs.progress import Progress, Silence
from vtok.quantities import counted


def decode_vq(config: DecodeVqConfig, progress: Progress | None = None) -> DecodeReport:
    """Decode indices into images, and compare these with the originals if asked to.

    Raises:
        ShardError: a shard is damaged, or holds no indices; nothing is written then. Nor is it
            where an array is of another dtype or shape, or outside the codebook.
        UnknownNameError: the model that the shards name is not here.
        WeightsError: it is, with other weights; or it has no decoder.
        UsageError: nothing says which model made an array.
        PlanMismatchError: the folder was begun with another plan.
        OutputError: the folder cannot be written, or an image that vtok did not write is there.
        FinishedWithFailuresError: nothing could be decoded.
    """
    progress = progress or Silence()
    check_output(config.output, config.shards)
    originals = None if config.reference is None else list_inputs(config.reference)
    work = DecodeWork.of(config)
    fid, no_rfid = (None, "") if originals is None else _fid(config, work)
    began = time.monotonic()
    is_sharded = config.output_format == "webdataset"
    output = (ShardsOutput if is_sharded else FilesOutput)(config.output, work, progress)
    num_decoded, failures = output.write()
    seconds = time.monotonic() - began
    written = dict(output.items())
    comparison = None
    if originals is not None:
        comparison = compare(
            tuple(work.found.decoded),
            written,
            originals,
            num_workers=config.workers,
            fid=fid,
            no_rfid=no_rfid,
        )
    if len(failures) == work.found.num_samples:
        if len(failures) == 1:
            raise FinishedWithFailuresError(f"the only sample failed: {failures[0].message}")
        raise FinishedWithFailuresError(
            f"all {counted(len(failures), 'sample')} failed; the last: {failures[-1].message}"
        )
    return DecodeReport(
        output=config.output,
        planned=work.found.num_samples,
        written=work.found.num_samples - len(failures),
        num_files=len(written),
        num_decoded=num_decoded,
        seconds=seconds,
        failures=failures,
        comparison=comparison,
        num_shards=output.plan().num_shards if is_sharded else None,
    )


def _fid(config: DecodeVqConfig, work: DecodeWork) -> tuple[FidMeter | None, str]:
    """Return what measures rFID, or why nothing does.

    Raises:
        WeightsError: the network's file is not its.
    """
    weights = config.fid_weights or find_weights()
    if weights is None:
        return None, "Inception's weights are not on this machine: name them with --fid-weights"
    return FidMeter(weights, work.placement.device), ""
