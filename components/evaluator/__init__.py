"""Scores the files that ship, float SavedModel and int8 TFLite, and blesses them or says why not."""

from components.evaluator.component import Evaluator

__all__ = ["Evaluator"]
