"""What runs the network, behind one protocol: arrays in, logits out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from marey.predict.device import use_channels_last

if TYPE_CHECKING:
    from marey.models.base import VideoModel

Arrays = Mapping[str, NDArray[Any]]


class Runtime(Protocol):
    """Runs a model on batches.

    Called with the inputs by modality, each `(B, T, C, H, W)`, uint8 (float32 for flow and differences), and
    `mask` bool `(B, T)`; gives float32 logits `(B, K)`.
    """

    name: str

    def __call__(self, inputs: Arrays, mask: NDArray[np.bool_]) -> NDArray[np.float32]: ...


class TorchRuntime:
    """A `VideoModel` in eval mode on a device.

    Args:
        model: the model; it is moved to the device. Its train or eval mode is put back after each call, so
            that a model in training can be judged on the way.
        device: where it runs.
        autocast: a reduced precision for the forward pass ("bf16"), or None for float32.
        channels_last: whether convolutions keep channels last in memory; else the weights stay as they are.
        compiled: whether the forward pass is compiled (`torch.compile`) when it is first called.
    """

    def __init__(
        self,
        model: VideoModel,
        *,
        device: str = "cpu",
        autocast: str | None = None,
        channels_last: bool = True,
        compiled: bool = False,
    ) -> None:
        self.name = f"torch {device}"
        self.model = model.to(device)
        if channels_last:
            use_channels_last(self.model)
        self.device = device
        self.autocast = autocast
        self._forward: Any = self.model
        if compiled:
            import torch

            self._forward = torch.compile(self.model)

    def __call__(self, inputs: Arrays, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        import torch

        tensors = {
            name: torch.from_numpy(array).to(self.device, non_blocking=True) for name, array in inputs.items()
        }
        training = self.model.training
        self.model.eval()
        try:
            with (
                torch.inference_mode(),
                torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.autocast == "bf16"),
            ):
                logits = self._forward(**tensors, mask=torch.from_numpy(mask).to(self.device))
        finally:
            self.model.train(training)
        result: NDArray[np.float32] = logits.float().cpu().numpy()
        return result
