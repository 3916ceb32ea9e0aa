"""How a process that trains computes: set once, when it starts."""

import torch


def settle_process(device: str) -> None:
    """Compute in one thread on a CPU, and take numbers next to zero for zero.

    One pinned, single-threaded trainer per core is the fastest way to use several cores: small
    products leave nothing to share, and threads that wait for one another lose whenever another
    process has a core. One thread is also what makes results the same to the last bit.
    Denormal numbers are a hundred times as slow as others on some CPUs.

    Args:
        device: ``cpu`` or ``cuda:0``.
    """
    if device == "cpu":
        torch.set_num_threads(1)
    torch.set_flush_denormal(True)
