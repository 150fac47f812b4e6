"""How to train a network."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
PRECISIONS = ("float32", "tf32", "bfloat16")


@dataclass(frozen=True)
class TrainingConfig:
    """How to train. The defaults are the paper's, for a large data set; the volume jitter is ours.

    Attributes:
        epochs: passes over the training part.
        batch_size: examples in one step, over all processes.
        learning_rate: at the first step; it decays linearly to 0 over all steps.
        seed: of the weights and of the order of the examples.
        volume_jitter: crystals are shown at volumes drawn evenly from 1 - this to 1 + this times their own, with the
            energy they have at their own: the network then answers for a crystal before its relaxation. Without it a
            network has never seen a wrong volume, and the lowest of its answers at 20 volumes is far too low. 0 where
            the data set itself holds crystals at other volumes with the energies they have there.
        optimizer: "adam" or "adamw".
        weight_decay: of AdamW.
        warm_up: share of all steps over which the learning rate first rises linearly from 0.
        averaging: decay per step of an exponential average of the weights, which is then what is saved; 0: none.
        precision: of products of matrices: "float32", "tf32" (GPU only) or "bfloat16"; weights, sums and energies stay
            in float32.
        compiled: compile the network before the first step.
        hold_out: keep the test part of the split out of the training, and measure on it; False: learn from everything.
        device: where to train, as torch names it.
        begin_with: directory of a saved model of the same shape, whose weights and scale it begins with; None: random
            weights, and the mean and deviation of the data.
    """

    epochs: int = 1000
    batch_size: int = 256
    learning_rate: float = 5.55e-4
    seed: int = 0
    volume_jitter: float = 0.2
    optimizer: str = "adam"
    weight_decay: float = 0.0
    warm_up: float = 0.0
    averaging: float = 0.0
    precision: str = "float32"
    compiled: bool = False
    hold_out: bool = True
    device: str = "cpu"
    begin_with: str | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1 or not self.learning_rate > 0:
            raise ValueError(f"epochs, batch_size and learning_rate must be positive: {self}")
        if not 0 <= self.volume_jitter < 1:
            raise ValueError(f"volume_jitter={self.volume_jitter}: must be from 0 to below 1")
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"optimizer={self.optimizer!r}: one of {', '.join(OPTIMIZERS)}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision!r}: one of {', '.join(PRECISIONS)}")
        if self.weight_decay < 0 or (self.weight_decay and self.optimizer == "adam"):
            raise ValueError(f"weight_decay={self.weight_decay}: not negative, and with optimizer='adamw'")
        if not 0 <= self.averaging < 1 or not 0 <= self.warm_up < 1:
            raise ValueError(f"averaging={self.averaging}, warm_up={self.warm_up}: must be from 0 to below 1")

    def rate(self, step: int, n_steps: int) -> float:
        """Learning rate of a step, from 0, of n_steps."""
        rising = min(1.0, (step + 1) / (self.warm_up * n_steps)) if self.warm_up else 1.0
        return self.learning_rate * rising * (1 - step / n_steps)

    def without_machine(self) -> dict[str, object]:
        """What matters for the result: all but the device."""
        return {name: value for name, value in asdict(self).items() if name != "device"}
