"""The Trainer node: TFX's ports with our training loop behind them, on one machine or as a job of Vertex AI."""

from components.trainer.component import Trainer, detector_trainer

__all__ = ["Trainer", "detector_trainer"]
