"""What can be wrong with a data set: every problem with its code, which never changes its meaning."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True)
class Problem:
    """A class of findings.

    code: its stable name; the letter is the subject (A annotation, I image, B box, C class, D duplicate, N network).
    name: in words. severity: an `error` is lost to training or misleads it, a `warning` is likely a mistake, an `info`
    is worth knowing. rule: what should hold. remedy: what to do. reasons: the reasons of `ledger.Finding` it stands
    for; without any, its own name.
    """

    code: str
    name: str
    severity: Severity
    rule: str
    remedy: str
    reasons: tuple[str, ...] = ()


PROBLEMS: tuple[Problem, ...] = (
    Problem(
        "A101",
        "malformed record",
        "error",
        "An image has an id, a file name, and whole numbers for its size.",
        "Mend the entry, or write a clean file with --fix.",
        ("malformed row", "unknown set", "incomplete list"),
    ),
    Problem(
        "A102",
        "duplicate image id",
        "error",
        "Every image of a split has an id of its own.",
        "List each image once, with an id of its own.",
        ("changed image id",),
    ),
    Problem(
        "A103",
        "unknown image id",
        "error",
        "Every annotation belongs to an image that is listed.",
        "List the image, or remove its annotations.",
    ),
    Problem(
        "A104",
        "unparsable XML",
        "error",
        "An annotation is XML with the root `annotation`, and without entities.",
        "Export the annotation again.",
    ),
    Problem(
        "A105",
        "missing annotation file",
        "error",
        "Every image of an image set has an XML file.",
        "Add the XML, or take the image off the list.",
    ),
    Problem(
        "A106",
        "duplicate annotation id",
        "error",
        "Every annotation of a file has an id of its own; pycocotools keeps one of those that share it.",
        "Number the annotations anew, as --fix does.",
    ),
    Problem(
        "A107",
        "damaged record",
        "error",
        "The records of a shard are whole; behind a damaged one the rest of its shard cannot be read.",
        "Make the shards again.",
    ),
    Problem(
        "A108",
        "class text differs",
        "error",
        "The class of a box in an example is called as in the label map.",
        "Make the shards again with the label map beside them.",
    ),
    Problem(
        "A109",
        "image file listed twice",
        "error",
        "An image file is listed once; COCO's entries of one file are merged, of VOC's the first counts.",
        "List it once, or write a clean file with --fix.",
        ("same file",),
    ),
    Problem(
        "A110",
        "two sizes",
        "error",
        "Entries of one image file give the same size.",
        "Keep the entry whose size is that of the file.",
    ),
    Problem(
        "A111",
        "too many boxes",
        "error",
        "An image has at most 10,000 boxes.",
        "Cut the image into tiles, or look for an export gone wrong.",
    ),
    Problem(
        "A112",
        "unusable mask",
        "warning",
        "A segmentation is a list of polygons or a run-length code of the size of its image.",
        "Draw the mask again.",
    ),
    Problem(
        "A199",
        "unusable record",
        "error",
        "A record can be read.",
        "Mend what the sentence names.",
    ),
    Problem(
        "I201",
        "missing image file",
        "error",
        "Every listed image is in the image folder and can be opened.",
        "Add the file, or take the image off the list.",
    ),
    Problem(
        "I202",
        "undecodable image",
        "error",
        "Every image file decodes as a whole.",
        "Copy or export the image again; a file cut short is the usual cause.",
    ),
    Problem(
        "I203",
        "outside data folder",
        "error",
        "No file name leads out of the data folder.",
        "Give names relative to the image folder.",
    ),
    Problem(
        "I204",
        "unusable file name",
        "error",
        "A file name is one that a file system can hold.",
        "Rename the file.",
    ),
    Problem(
        "I205",
        "size mismatch",
        "error",
        "The annotated size of an image is that of its file.",
        "Annotate the file that is there, or put back the one that was annotated.",
    ),
    Problem(
        "I206",
        "image without boxes",
        "info",
        "An image without a box trains as background.",
        "Make sure that nothing in it was left out.",
    ),
    Problem(
        "I207",
        "unlisted image file",
        "info",
        "An image file in the folder is listed in a split.",
        "Annotate the image, or move it away.",
    ),
    Problem(
        "I208",
        "too large",
        "error",
        "An image file has at most 256 MiB and 100 million pixels.",
        "Scale the image down, or cut it into tiles.",
    ),
    Problem(
        "I209",
        "converted image",
        "info",
        "Examples hold JPEG and PNG; other formats are converted to PNG, which takes more space.",
        "Nothing, or convert them yourself.",
    ),
    Problem(
        "I210",
        "animation",
        "warning",
        "An image file holds one picture; of an animation the first is taken.",
        "Save the picture that was annotated as a file of its own.",
    ),
    Problem(
        "I211",
        "turned image",
        "info",
        "An image is stored upright; one that was annotated upright by its EXIF orientation is turned.",
        "Nothing, or store it upright.",
        ("turned upright",),
    ),
    Problem(
        "I212",
        "image that viewers turn",
        "info",
        "Boxes are drawn on an image as stored, where its EXIF orientation has viewers turn or mirror it.",
        "Look whether the boxes lie on the objects; if not, store the image upright.",
        ("orientation not applied",),
    ),
    Problem(
        "B301",
        "malformed box",
        "error",
        "A box is given as four numbers.",
        "Draw the box again, or remove it with --fix.",
    ),
    Problem(
        "B302",
        "non-finite box",
        "error",
        "The numbers of a box are finite.",
        "Draw the box again, or remove it with --fix.",
    ),
    Problem(
        "B303",
        "zero-area box",
        "error",
        "A box has a width and a height.",
        "Draw the box again, or remove it with --fix.",
    ),
    Problem(
        "B304",
        "box outside image",
        "error",
        "A box lies in its image.",
        "Draw the box again, or remove it with --fix.",
    ),
    Problem(
        "B305",
        "box over border",
        "warning",
        "A box does not cross the border of its image; what does is cut off.",
        "Nothing, or cut it with --fix; many of them are a sign of boxes made for images of another size.",
        ("over the border",),
    ),
    Problem(
        "B306",
        "duplicate box",
        "warning",
        "An object is annotated once.",
        "Remove the other one, as --fix does.",
        ("identical box",),
    ),
    Problem(
        "B307",
        "box of two classes",
        "warning",
        "A box belongs to one class: no two of different classes are the same (IoU 0.95).",
        "Decide for one of the classes.",
    ),
    Problem(
        "B308",
        "tiny box",
        "warning",
        "In the input of the network a box is a pixel high and wide at least.",
        "Train a larger model or on tiles of the image, or remove the box.",
    ),
    Problem(
        "B309",
        "box of the whole image",
        "info",
        "A box covers less than 99 % of its image.",
        "Make sure that the box was drawn and not filled in.",
    ),
    Problem(
        "C401",
        "unknown category",
        "error",
        "The category of a box is in the label map.",
        "Add the category, or correct the box.",
    ),
    Problem(
        "C402",
        "class without boxes",
        "warning",
        "Every class has a box.",
        "Annotate some, or take the class off the list.",
    ),
    Problem(
        "C403",
        "rare class",
        "warning",
        "Every class has ten boxes or more to train on.",
        "Annotate more of it, or leave the class out.",
    ),
    Problem(
        "C404",
        "class not trained on",
        "warning",
        "A class with boxes in any split has boxes in the first one.",
        "Divide the images again, so that every class is in all splits.",
    ),
    Problem(
        "C405",
        "class not judged",
        "warning",
        "A class with boxes in the first split has boxes in every other one.",
        "Divide the images again, so that every class is in all splits.",
    ),
    Problem(
        "C406",
        "class names alike",
        "warning",
        "No two names of classes differ by case or space alone.",
        "Use one name.",
    ),
    Problem(
        "D501",
        "duplicate image",
        "warning",
        "No two images of a split have the same bytes.",
        "Keep one of them.",
    ),
    Problem(
        "D502",
        "near-duplicate image",
        "info",
        "No two images of a split look the same.",
        "Keep one of them, unless both are wanted.",
    ),
    Problem(
        "D503",
        "leaked image",
        "error",
        "No image of a split is in another one: what was trained on cannot judge.",
        "Remove it from one of the splits.",
    ),
    Problem(
        "D504",
        "nearly leaked image",
        "warning",
        "No image of a split looks the same as one in another split.",
        "Look at both; keep views of one scene in one split.",
    ),
    Problem(
        "N601",
        "box that no anchor matches",
        "info",
        "Some anchor of the chosen model overlaps a box with IoU 0.5 or more.",
        "See the suggested anchors; a box too small asks for a larger input.",
    ),
)

BY_CODE = {problem.code: problem for problem in PROBLEMS}
BY_REASON = {reason: problem for problem in PROBLEMS for reason in (problem.name, *problem.reasons)}
OTHER = BY_CODE["A199"]


def problem_of(reason: str) -> Problem:
    """The problem that a reason of the ledger, or of a rule, stands for; A199 for one that has none."""
    return BY_REASON.get(reason, OTHER)


def as_table(problems: Iterable[Problem] = PROBLEMS) -> str:
    """The problems as a table in Markdown, as docs/checks.md has it."""
    rows = ["| code | problem | severity | what should hold | what to do |", "|---|---|---|---|---|"]
    for p in problems:
        rows.append(f"| {p.code} | {p.name} | {p.severity} | {p.rule} | {p.remedy} |")
    return "\n".join(rows) + "\n"
