"""Recording what the host tells a device to do, so that it can be told again in one call.

A small network's step is dozens of kernels of a few microseconds; starting each from Python takes
longer than running it. A CUDA graph holds them all, with the addresses they read and write.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch


class Recorder(ABC):
    """Runs work, records work. What is recorded may only use memory that stays where it is."""

    @abstractmethod
    def warm(self, work: Callable[[], None]) -> None:
        """Do work that is going to be recorded; libraries and kernels get ready by it."""

    @abstractmethod
    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what does the work again; it has not been done yet.

        Raises:
            RuntimeError: It cannot be recorded.
        """


class CudaRecorder(Recorder):
    """Records CUDA graphs, all in one pool of memory: they run one after another.

    Nothing a graph leaves in the pool is read by another: results go to memory outside.

    Args:
        device: A GPU.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call] # torch's
        self._pool = torch.cuda.graph_pool_handle()

    def warm(self, work: Callable[[], None]) -> None:
        """Do the work on the stream that is recorded from, in line with the usual one."""
        usual = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(usual)
        with torch.cuda.stream(self._stream):
            work()
        usual.wait_stream(self._stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what replays the graph of this work."""
        graph, usual = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._device)
        try:
            with (
                torch.cuda.device(self._device),
                # other threads may talk to the device meanwhile: they are not recorded
                torch.cuda.graph(
                    graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
                ),
            ):
                work()
        finally:
            torch.cuda.set_stream(usual)  # torch forgets it where a recording fails at its end
        return graph.replay  # keeps the graph alive


def recorder_of(device: torch.device) -> Recorder | None:
    """Return what records on this device; None where nothing is gained by it."""
    return CudaRecorder(device) if device.type == "cuda" else None
