"""Boxes are drawn where they are, in one colour per class."""

from __future__ import annotations

import numpy as np

from efficientdet.visualize import colour_of, draw

GREY = np.full((200, 300, 3), 90, np.uint8)
BOX = np.array([[50, 60, 120, 180]], np.float32)


def test_box_edges_lie_on_the_box_in_the_colour_of_the_class():
    picture = np.asarray(draw(GREY, BOX, ["cat"], np.array([0.876]), np.array([3])))
    for y, x in ((50, 100), (120, 100), (80, 60), (80, 180)):
        assert tuple(picture[y, x]) == colour_of(3)
    assert (picture[60:110, 70:170] == 90).all(), "the inside stays as it is"
    assert (picture[20:49, 60:120] != 90).any(), "the label stands above the box"
    assert (GREY == 90).all(), "the given image is not drawn on"


def test_labels_of_boxes_at_the_border_stay_inside():
    boxes = np.array([[0, 0, 199, 40], [-20, 280, 30, 340]], np.float32)
    picture = np.asarray(draw(GREY, boxes, ["a long class name", "another long class name"], np.array([0.9, 0.8])))
    assert picture.shape == GREY.shape
    assert (picture[5:12, 200:290] != 90).any()


def test_the_strongest_box_is_on_top():
    picture = np.asarray(draw(GREY, np.repeat(BOX, 2, axis=0), ["a", "b"], np.array([0.9, 0.2]), np.array([1, 2])))
    assert tuple(picture[120, 100]) == colour_of(1)


def test_neighbouring_classes_differ_clearly_in_colour():
    colours = np.array([colour_of(i) for i in range(1, 9)], np.float64)
    gaps = np.abs(colours[:, None] - colours[None]).max(axis=-1)
    assert gaps[np.triu_indices(8, 1)].min() > 40


def test_nothing_found_leaves_the_image():
    assert (np.asarray(draw(GREY, np.zeros((0, 4)), [])) == 90).all()
