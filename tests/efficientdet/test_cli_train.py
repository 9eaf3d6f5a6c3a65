"""`efficientdet train`, as google/automl's users type it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from click.testing import CliRunner, Result

from efficientdet.cli import cli
from efficientdet.cli_train import detector_config, train
from efficientdet.config import Config
from efficientdet.label_map import LabelMap

VOC_CONFIG = {
    "num_classes": 11,  # with background, as google/automl's own file counts VOC's
    "var_freeze_expr": "(efficientnet|fpn_cells|resample_p6)",
    "label_map": {class_id: str(class_id - 1) for class_id in range(1, 11)},
    "image_size": 64,
    "max_instances_per_image": 50,
    "nms_configs": {"method": "gaussian"},
}


@pytest.fixture
def run() -> Callable[..., Result]:
    return lambda *words: CliRunner().invoke(cli, ["train", *(str(word) for word in words)])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained detector of three classes, two of them digits."""
    from efficientdet.checkpoint import save_detector
    from efficientdet.model.detector import build_detector

    folder = tmp_path_factory.mktemp("pretrained") / "detector"
    config = Config().override("model.image_size=64")
    save_detector(folder, build_detector(config, 3), config, LabelMap.from_names(["cat", "7", "0"]))
    return folder


def test_their_command_trains_and_goes_on(
    run: Callable[..., Result], digit_shards: Path, checkpoint: Path, tmp_path: Path
) -> None:
    from efficientdet.checkpoint import load_detector
    from efficientdet.model.detector import reference_name

    (tmp_path / "voc_config.yaml").write_text(yaml.safe_dump(VOC_CONFIG))
    command = [
        f"--train_file_pattern={digit_shards}/Split-train/*",
        f"--val_file_pattern={digit_shards}/Split-eval/*",
        "--model_name=efficientdet-lite0",
        f"--model_dir={tmp_path}/finetune",
        f"--pretrained_ckpt={checkpoint}",
        "--batch_size=6",
        "--eval_samples=1024",
        "--num_examples_per_epoch=5717",
        "--num_epochs=1",
        f"--hparams={tmp_path}/voc_config.yaml",
    ]
    answer = run(*command)
    assert answer.exit_code == 0, answer.exception
    detector = tmp_path / "finetune" / "detector"
    assert answer.stdout == f"{detector}: the detector after 2 steps\n"
    assert "--num_examples_per_epoch has no effect here: the examples are counted" in answer.stderr

    given = json.loads((tmp_path / "finetune" / "logs" / "initial_weights.json").read_text())
    assert given["classes"] == ["0", "7"]
    assert not given["skipped"]
    model, config, label_map = load_detector(detector)
    assert config == Config.load(tmp_path / "finetune" / "config.yaml")
    assert (config.training.epochs, config.training.batch_size, config.nms.method) == (1, 6, "gaussian")
    assert label_map == LabelMap.load(digit_shards)
    before, after = ({reference_name(v): v.numpy() for v in m.weights} for m in (load_detector(checkpoint)[0], model))
    frozen = "fpn_cells/cell_0/fnode0/op_after_combine5/conv/pointwise_kernel"
    np.testing.assert_array_equal(after[frozen], before[frozen])
    # 9 anchors: a class keeps its columns but for two steps of training
    theirs, ours = (weights["class_net/class-predict/pointwise_kernel"] for weights in (before, after))
    theirs, ours = theirs.reshape(64, 9, 3), ours.reshape(64, 9, 10)
    changes = [np.abs(ours[..., our] - theirs[..., their]).max() for our, their in ((0, 2), (7, 1), (7, 0))]
    assert max(changes[:2]) < 0.01 < changes[2]

    again = run(*command)
    assert again.exit_code == 0, again.exception
    assert again.stdout == answer.stdout
    assert f"going on from step 2 of {tmp_path}/finetune/checkpoints/step-2" in again.stderr
    other = run(*command, "--tf_random_seed=2")
    assert other.exit_code == 1
    assert "config.yaml: is of another run (training.seed is 0 there, 2 here)" in str(other.exception)
    longer = run(*command, "--num_epochs=2")
    assert longer.exit_code == 0, longer.exception
    assert longer.stdout == f"{detector}: the detector after 4 steps\n"


def test_options_win_over_hparams_and_these_over_the_defaults(tmp_path: Path) -> None:
    assert detector_config("", {}).model.name == "efficientdet-d0"
    assert detector_config("name=efficientdet-lite1,batch_size=8", {}).model.name == "efficientdet-lite1"
    flags = {"model_name": "efficientdet-d1", "batch_size": 4, "ckpt": "d1", "ckpt_classes": "coco", "num_epochs": None}
    config = detector_config("batch_size=8,num_epochs=5,training.seed=3,aspect_ratios=1.0*2.0*0.5", flags)
    assert (config.training.batch_size, config.training.epochs, config.training.seed) == (4, 5, 3)
    assert (config.model.name, config.model.weights, config.model.weights_classes) == ("efficientdet-d1", "d1", "coco")
    for nothing in ("", "null", "none"):
        assert detector_config("", {"backbone_ckpt": nothing}).model.backbone_weights is None
    assert detector_config(",".join(["batch_size=8"] * 400), {}).training.batch_size == 8  # longer than any path
    (tmp_path / "ours.yaml").write_text(config.to_yaml())
    assert detector_config(str(tmp_path / "ours.yaml"), {}) == config


def test_every_flag_of_their_program_is_understood() -> None:
    flags = ["--use_xla", "--nouse_xla", "--use_xla=false", "--debug", "--nodebug", "--profile", "--tf_random_seed=3"]
    flags += ["--tpu=t", "--gcp_project=p", "--tpu_zone=z", "--eval_master=", "--eval_name=e", "--worker=a:1"]
    flags += [
        "--worker_index=0",
        "--num_cores=8",
        "--use_fake_data",
        "--nouse_fake_data",
        "--strategy=",
        "--mode=train",
    ]
    flags += ["--steps_per_execution=2", "--batch_size=auto", "--val_json_file=x", "--eval_samples=5"]
    context = train.make_context("train", ["--train_file_pattern=x", "--model_dir=y", *flags])
    flags = {
        n: v for n, v in context.params.items() if n not in ("train_file_pattern", "val_file_pattern", "model_dir")
    }
    training = detector_config(flags.pop("hparams"), flags).training
    assert (training.seed, training.steps_per_execution, training.eval_epochs) == (3, 2, 0)
    assert (training.tpu, training.gcp_project, training.tpu_zone, training.strategy) == ("t", "p", "z", None)
    assert (training.xla, training.accumulate, training.profile_steps) == (False, "auto", (10, 20))


SHARDS, EVERYTHING = "--train-file-pattern={shards}/Split-train/*", "--backbone-ckpt=null"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--train-file-pattern={tmp}/none/*"], "{tmp}/none/*: no file matches; give the shards as in"),
        (["--train-file-pattern={tmp}/*.tfrecord"], "{tmp}/plain.tfrecord: holds no TFRecords, neither plain nor gzip"),
        (["--train-file-pattern={tmp}/cut.gz", "--label-map={shards}"], "{tmp}/cut.gz: a record cannot be read ("),
        (["--train-file-pattern={tmp}/cut.gz"], "holds no label_map.json, the classes of the examples; name its"),
        ([SHARDS, "--val-file-pattern={tmp}/none/*"], "{tmp}/none/*: no file matches"),
        ([SHARDS, "--label-map={tmp}/none"], "{tmp}/none: holds no label_map.json"),
        ([SHARDS, "--hparams={tmp}/none.yaml"], "{tmp}/none.yaml: cannot be read"),
        ([SHARDS, "--hparams=num_clases=3"], "num_clases: there is no such setting; did you mean"),
        ([SHARDS, "--hparams=num_classes=3"], "data.num_classes=3: the examples have 10 classes"),
        ([SHARDS, "--ckpt={tmp}/none"], "{tmp}/none: there is no checkpoint, which model.weights names"),
        ([SHARDS, "--ckpt={shards}", "--ckpt-classes={tmp}/none"], "{tmp}/none: neither a label map file nor one of"),
        ([SHARDS, "--backbone-ckpt={tmp}/none"], "{tmp}/none: there is no checkpoint, which model.backbone_weights"),
        ([SHARDS, "--model_name=efficientdet-d9"], "no such architecture"),
        ([SHARDS, "--batch_size=0"], "training.batch_size=0"),
        ([SHARDS, "--strategy=gpu"], "training.strategy='gpu': Input should be 'gpus', 'workers' or 'tpu'"),
        ([SHARDS, "--mode=traineval"], "--mode: needs examples to measure an AP on; give them with --val-file-pattern"),
        ([SHARDS, "--hparams=training.patience=2"], "training.patience: needs examples to measure an AP on; give them"),
        ([SHARDS, "--hparams=training.result=best"], "training.result=best: needs examples to measure an AP on; give"),
        ([SHARDS, "--mode=eval"], "--mode=eval: training and judging are two commands; use `efficientdet evaluate`"),
        (
            [SHARDS, "--label-map={tmp}/three"],
            "but the label map has 3 classes, 1 to 3; give the label map that",
        ),
    ],
)
def test_mistakes_are_one_sentence(
    run: Callable[..., Result], digit_shards: Path, tmp_path: Path, words: list[str], says: str
) -> None:
    (tmp_path / "plain.tfrecord").write_bytes(b"plain")
    (tmp_path / "cut.gz").write_bytes((digit_shards / "Split-train/data-0-of-2.gz").read_bytes()[:3000])
    (tmp_path / "three").mkdir()
    (tmp_path / "three/label_map.json").write_text(LabelMap.from_names(["a", "b", "c"]).to_json())
    places = {"shards": digit_shards, "tmp": tmp_path}
    answer = run("--model-dir", tmp_path / "out", EVERYTHING, *(word.format(**places) for word in words))
    assert answer.exit_code == 1
    assert says.format(**places) in str(answer.exception)
    assert "\n" not in str(answer.exception)
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_an_address_does_not_become_a_folder(run: Callable[..., Result], digit_shards: Path) -> None:
    answer = run(SHARDS.format(shards=digit_shards), "--model-dir=gs://bucket/run")
    assert answer.exit_code == 2
    assert "gs://bucket/run: is an address; name a path of this machine" in answer.stderr
    assert not Path("gs:").exists()


def test_without_tensorflow_the_extra_is_named(tmp_path: Path) -> None:
    code = "import sys; sys.modules |= {'tensorflow': None, 'keras': None}; from efficientdet.cli import main; main()"
    words = ["train", "--train-file-pattern=x", f"--model-dir={tmp_path}/out"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("efficientdet: keras is not installed, and training needs it; install the `train`")
    assert len(done.stderr.splitlines()) == 1
