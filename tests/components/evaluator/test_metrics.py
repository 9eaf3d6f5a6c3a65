from __future__ import annotations

import math
import pickle
import random
from typing import Any

import numpy as np
import pytest
import tensorflow_model_analysis as tfma
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator.extractor import SCORED_IMAGE_KEY
from components.evaluator.metrics import CocoDetectionMetrics
from efficientdet.blessing import CLASS_METRICS
from efficientdet.coco_metric import COCO_METRICS, CocoAccumulator, Groundtruth, match_image
from efficientdet.scored_image import Found, ScoredImage

SIDES = st.sampled_from([8.0, 30.0, 40.0, 96.0, 200.0])
BOX = st.tuples(st.sampled_from([0.0, 4.0, 50.0]), st.sampled_from([0.0, 4.0, 50.0]), SIDES, SIDES)
# Few scores, so that images have many in common.
DETECTION = st.tuples(BOX, st.integers(1, 3), st.sampled_from([0.1, 0.5, 0.9]))
OBJECT = st.tuples(BOX, st.integers(1, 3), st.booleans())


def found(detections: list[tuple]) -> Found:
    ordered = sorted(detections, key=lambda detection: -detection[2])
    boxes, classes, scores = zip(*ordered, strict=True) if ordered else ([], [], [])
    return Found(np.array(boxes, float).reshape(-1, 4), np.array(classes, np.int32), np.array(scores, float))


def extract(image_id: str, objects: list[tuple], model: str = "", **variants: list[tuple]) -> dict[str, Any]:
    """What the extractor makes of an image."""
    boxes, classes, crowd = zip(*objects, strict=True) if objects else ([], [], [])
    boxes = np.array(boxes, float).reshape(-1, 4)
    truth = Groundtruth(boxes, np.array(classes, int), np.array(crowd, bool), boxes[:, 2] * boxes[:, 3])
    predictions = {name: found(detections) for name, detections in variants.items()}
    image = ScoredImage(image_id, 300, 300, truth, predictions)
    return {SCORED_IMAGE_KEY: image, tfma.LABELS_KEY: truth, tfma.PREDICTIONS_KEY: {model: predictions}}


IMAGES = st.lists(
    st.tuples(st.lists(OBJECT, max_size=4), st.lists(DETECTION, max_size=6), st.lists(DETECTION, max_size=6)),
    min_size=1,
    max_size=12,
).map(lambda images: [extract(f"{i}", truth, float=a, int8=b) for i, (truth, a, b) in enumerate(images)])


def computation(**settings: Any) -> tfma.metrics.MetricComputation:
    [made] = CocoDetectionMetrics(**settings).computations(model_names=[""])
    return made


def accumulate(made: tfma.metrics.MetricComputation, extracts: list[dict]) -> Any:
    accumulator = made.combiner.create_accumulator()
    for each in extracts:
        for matches in made.preprocessors[0].process(each):
            accumulator = made.combiner.add_input(accumulator, matches)
    return accumulator


def values(extracts: list[dict], **settings: Any) -> dict[tuple[str, int | None], float]:
    """The metric's numbers by name and class id."""
    made = computation(**settings)
    return named(made.combiner.extract_output(accumulate(made, extracts)))


def named(output: dict) -> dict[tuple[str, int | None], float]:
    return {(key.name, key.sub_key.class_id if key.sub_key else None): value for key, value in output.items()}


def bits(output: dict) -> dict:
    """Comparable to the last bit, NaN included."""
    return {key: np.float64(value).tobytes() for key, value in output.items()}


@settings(max_examples=100, deadline=None)
@given(extracts=IMAGES, bundle=st.integers(1, 5), seed=st.integers(0, 99))
def test_equal_to_the_last_bit_however_it_is_bundled(extracts: list[dict], bundle: int, seed: int) -> None:
    order, made = random.Random(seed), computation()
    shuffled = order.sample(extracts, len(extracts))
    parts = [accumulate(made, shuffled[i : i + bundle]) for i in range(0, len(shuffled), bundle)]
    while len(parts) > 1:
        order.shuffle(parts)
        several = order.randint(2, 3)
        merged = made.combiner.compact(made.combiner.merge_accumulators(parts[:several]))
        parts = [*parts[several:], pickle.loads(pickle.dumps(merged))]
    assert bits(named(made.combiner.extract_output(parts[0]))) == bits(values(extracts))


@settings(max_examples=50, deadline=None)
@given(extracts=IMAGES)
def test_the_numbers_are_those_of_each_file(extracts: list[dict]) -> None:
    output = values(extracts)
    for variant in ("float", "int8"):
        images = [each[SCORED_IMAGE_KEY] for each in extracts]
        scores = CocoAccumulator(match_image(i.image_id, i.truth, *i.found[variant]) for i in images).compute()
        assert output[f"{variant}/images", None] == len(extracts)
        for class_id, names, expected in [
            (None, COCO_METRICS, scores.metrics),
            *((class_id, CLASS_METRICS, metrics) for class_id, metrics in scores.per_class.items()),
        ]:
            ours = {name: output[f"{variant}/{name}", class_id] for name in names}
            theirs = {name: math.nan if expected[name] is None else expected[name] for name in names}
            assert bits(ours) == bits(theirs)
    classes = {class_id for name, class_id in output if name == "float/AP"}
    drops = {class_id: output["float/AP", class_id] - output["int8/AP", class_id] for class_id in classes}
    assert bits(drops) == bits({class_id: output["int8_drop", class_id] for class_id in classes})


def test_memory_is_bounded_by_what_is_kept() -> None:
    box = (0.0, 0.0, 10.0, 10.0)

    def size(images: int, detections: int) -> int:
        made = computation()
        extracts = [extract(f"{100_000 + i}", [], float=[(box, 1, 0.5)] * detections) for i in range(images)]
        return len(pickle.dumps(made.combiner.compact(accumulate(made, extracts))))

    assert size(2000, 0) - size(1000, 0) <= 1000 * (len("100000") + 8), "an empty image costs more than its id"
    assert size(100, 100) - size(100, 0) <= 100 * 100 * 40
    assert size(100, 1000) == size(100, 100), "COCO counts 100 detections of a class in an image"


def test_variants_may_be_chosen() -> None:
    extracts = [extract("1", [((0, 0, 9, 9), 1, False)], float=[((0, 0, 9, 9), 1, 0.5)], float16=[], int8=[])]
    assert {name.split("/")[0] for name, _ in values(extracts)} == {
        *("float", "float16", "int8", "float16_drop", "int8_drop")
    }
    assert {name.split("/")[0] for name, _ in values(extracts, variants=["int8"])} == {"int8"}
    absent = values(extracts, variants=["float", "int4"])
    assert absent["int4/images", None] == 0
    assert math.isnan(absent["int4_drop", None])


def test_no_image_is_no_number() -> None:
    nothing = values([], variants=["float", "int8"])
    assert {name for (name, _), value in nothing.items() if value == 0} == {"float/images", "int8/images"}
    assert all(math.isnan(value) for (name, _), value in nothing.items() if not name.endswith("images"))
    assert values([]) == {}


def test_each_model_and_choice_is_a_computation_of_its_own() -> None:
    made = [
        *CocoDetectionMetrics().computations(model_names=["a", "b"]),
        *CocoDetectionMetrics(variants=["int8"]).computations(model_names=["a"]),
    ]
    assert len(set(made)) == 3
    assert len({*made, *CocoDetectionMetrics().computations(model_names=["a"])}) == 3
    [only_b] = made[1].preprocessors[0].process(extract("1", [], model="b", float=[]))
    assert list(only_b) == ["float"]


def test_the_metric_survives_its_configuration() -> None:
    config = CocoDetectionMetrics(variants=["int8"]).get_config()
    assert CocoDetectionMetrics.from_config(config).get_config() == config
    with pytest.raises(TypeError):
        CocoDetectionMetrics(variant=["int8"])
