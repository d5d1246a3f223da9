"""Several devices by accelerate: each process takes its rows of every batch, gradients are averaged, one process writes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from braindec.errors import BraindecError
from braindec.train.loop import resolve_device

__all__ = ["Processes"]


class Processes:
    """What a training run asks of the processes that share it; one process needs no accelerate.

    Parameters
    ----------
    accelerate : bool or accelerate.Accelerator
        True makes an Accelerator (``accelerate launch script.py`` says how many processes there are).
    device : str
        As in :func:`braindec.train.loop.resolve_device`; with an Accelerator its own device is taken.

    Raises
    ------
    BraindecError
        If the Accelerator shards weights (FSDP, DeepSpeed, ...): the weights must be whole in each process.
    """

    def __init__(self, accelerate: Any, device: str) -> None:
        self.accelerator = None
        if accelerate is False or accelerate is None:
            self.device = resolve_device(device)
            return
        self.accelerator = _accelerator(device) if accelerate is True else accelerate
        kind = str(getattr(self.accelerator.distributed_type, "value", self.accelerator.distributed_type))
        if kind not in ("NO", "MULTI_CPU", "MULTI_GPU"):
            raise BraindecError(
                f"training is not made for {kind} of accelerate", allowed="one process, MULTI_CPU, MULTI_GPU",
                fix="choose distributed_type MULTI_GPU in accelerate config",
            )  # fmt: skip
        self.device = self.accelerator.device

    @property
    def n(self) -> int:
        """Number of processes."""
        return 1 if self.accelerator is None else self.accelerator.num_processes

    @property
    def rank(self) -> int:
        """Number of this process, from 0."""
        return 0 if self.accelerator is None else self.accelerator.process_index

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module whose backward pass averages gradients; all processes start from the weights of the first."""
        return module if self.n == 1 else self.accelerator.prepare_model(module)

    def unsynchronised(self, module: nn.Module) -> Any:
        """A context in which gradients stay in their process."""
        from contextlib import nullcontext

        return nullcontext() if self.n == 1 else module.no_sync()

    def sum(self, value: float) -> float:
        """Sum of a number over processes."""
        if self.n == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return total.item()

    def wait(self) -> None:
        """Wait for one another."""
        if self.n > 1:
            self.accelerator.wait_for_everyone()


def _accelerator(device: str) -> Any:
    from accelerate import Accelerator, DistributedDataParallelKwargs

    unused = DistributedDataParallelKwargs(find_unused_parameters=True)  # a "nothing" that no row of a batch got
    return Accelerator(cpu=resolve_device(device).type == "cpu", kwargs_handlers=[unused])
