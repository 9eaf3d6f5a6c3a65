"""A detector over millions of images by Beam: examples or image files in, shards of detections out."""

from components.bulk_inferrer.job import BulkSummary, bulk_infer
from components.bulk_inferrer.results import check_coco_target, read_detections, write_coco

__all__ = ["BulkSummary", "bulk_infer", "check_coco_target", "read_detections", "write_coco"]
