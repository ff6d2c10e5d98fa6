"""What the sub-commands do. Every function takes the options of its command and returns an exit status.

Each imports what it needs after checking its paths and names: a wrong one is reported before torch is loaded.
"""

import logging
import re
import sys
from dataclasses import fields, replace
from pathlib import Path

from avalib import zoo
from avalib.cli.detect_modes import LIVE, MANY, choose_mode
from avalib.utils.download import is_url
from avalib.utils.files import atomic_path, check_not_input
from avalib.utils.run_folder import get_run_folder, print_run_report, resolve_checkpoint

logger = logging.getLogger(__name__)


def run_prepare(options):
    """Prepare a data set and print where it is."""
    if options.weights:
        _check_weights(options.weights)
    from avalib.data.catalog import prepare
    from avalib.data.video_survey import survey_videos
    from avalib.video.frame_cache_builder import build_frame_caches

    layout = prepare(
        options.dataset,
        options.data_seed,
        workers=options.workers,
        again=options.again,
        mirrors=options.mirrors or None,
        cut=options.cut,
        max_videos=options.max_videos,
    )
    # A cache of every video that can be read.
    if options.cache_short_side:
        videos = survey_videos(layout)
        readable = videos.video_id[videos.frames > 0]
        build_frame_caches(layout, readable, options.cache_short_side, workers=options.workers)
    print(f"{options.dataset}: {layout.root}")
    if options.weights:
        print(f"weights: {_download_weights(options.weights)}")
    return 0


def _check_weights(weights):
    """Raise an error for --weights that are neither a file nor a URL nor of a model that has some."""
    if is_url(weights) or Path(weights).is_file():
        return
    if Path(weights).name != weights:
        raise FileNotFoundError(f"--weights {weights}: no such file; expected a model of the zoo, a path or a URL")
    zoo.get_mini_weights(zoo.get(weights).alias)


def _download_weights(weights):
    """Download trained weights of the mini-AVA: of a model of the zoo, or at a URL. Returns the file that was read.

    A file of this machine is read where it is.
    """
    from avalib.models.checkpoint import download_checkpoint, open_checkpoint

    entry = None if is_url(weights) or Path(weights).is_file() else zoo.get(weights)
    path = download_checkpoint(entry, "mini" if entry else weights)
    open_checkpoint(entry, path)  # raises CheckpointError for a file that holds no weights
    return path


def run_check(options):
    """Check a data set; print the report."""
    from avalib.data.validation import check

    report = check(options.dataset, decode=options.decode, workers=options.workers)
    print(report)
    if options.json:
        logger.info("written: %s", report.save(options.json))
    return 0 if report.ok else 1


def run_lint(options):
    """Lint a csv; print the findings."""
    from avalib.data.lint import lint_csv

    report = lint_csv(options.file, options.kind, options.ground_truth, options.label_map)
    print(report)
    return 1 if report.findings else 0


def run_train(options):
    """Train a model, in this process or in as many as torchrun has started."""
    from avalib.training.session import train_from_options

    training = options.training
    entry = zoo.get(training.model)
    # The command's numbers replace the recipe's; the run's record has what differs.
    base = zoo.get_recipe(entry, training.dataset)
    changes = {f.name: getattr(options.recipe, f.name) for f in fields(options.recipe)}
    folder, log = train_from_options(training, entry, base, replace(base, **changes))
    if log is not None and not log.empty:  # plan_only trains nothing
        _draw_curves(folder, log, entry)
    return 0


def _draw_curves(folder, log, entry):
    from avalib import draw

    figure = draw.plot_training_curves(log, title=f"{entry.alias}: loss falls, validation mAP rises")
    with atomic_path(folder / "curves.png") as path:
        figure.savefig(path)
    print(f"  {folder / 'curves.png'}")


def run_evaluate(options):
    """Score a csv of detections, or a model on a data set; print the report and write it as json."""
    from avalib.evaluation.evaluator import compare_protocols, evaluate

    if (options.ground_truth is None) != (options.detections is None):
        raise ValueError("expected two files, GROUND_TRUTH and DETECTIONS, or none to evaluate a model")
    if options.ground_truth is None:
        ground_truth, detections, rules = _detect_validation_split(options)
    else:
        ground_truth, detections = options.ground_truth, options.detections
        rules = {"label_map": None, "exclusions": None, "protocol": "mmaction"}
    # An option replaces what the data set, or AVA, prescribes.
    for name in rules:
        rules[name] = getattr(options, name) or rules[name]
    # Beside the detections: detections.csv.gz -> detections.mmaction.json.
    stem = re.sub(r"(\.csv)?(\.gz)?$", "", str(detections))
    path = options.json or f"{stem}.{rules['protocol']}.json"
    check_not_input(path, ground_truth, detections, rules["label_map"], rules["exclusions"])
    report = evaluate(ground_truth, detections, iou=list(options.iou), ties=options.ties, **rules)
    print(report.summary())
    report.to_json(path)
    print(f"written: {path}")
    # After the report is written, as these two are not possible with every input.
    if options.bootstrap:
        interval = report.bootstrap(options.bootstrap)
        print(f"{interval['level']:.0%} interval over videos: {interval['low']:.4f} to {interval['high']:.4f}")
    if options.compare_protocols:
        comparison = compare_protocols(
            ground_truth,
            detections,
            label_map=rules["label_map"],
            exclusions=rules["exclusions"],
            iou=list(options.iou),
            ties=options.ties,
            base=rules["protocol"],
        )
        for row in comparison.itertuples():
            print(f"{row.protocol:12} {row.mAP:.4f} {row.difference:+.4f}  {row.reason}")
    return 0


def _detect_validation_split(options):
    """Run a model on the validation split. Returns the two csv files and the data set's evaluation options."""
    options = replace(options, dataset=_choose_test_dataset(options))
    folder, checkpoint = find_run(options)
    from avalib.data.ava_csv import write_ava_csv
    from avalib.data.catalog import prepare
    from avalib.evaluation.inference import detect_dataset, load_trained_model
    from avalib.evaluation.protocols import CSV_DECIMALS, choose_protocol, describe_test

    # The detections go where notebook 04 writes them.
    layout = prepare(options.dataset, options.data_seed)
    detector, recipe = load_trained_model(options.model, checkpoint, options.dataset)
    table, _ = detect_dataset(
        detector, layout, "val", recipe, options.device, options.precision, workers=options.workers
    )
    protocol = options.protocol or choose_protocol(layout, detector.entry)
    logger.info("%s", describe_test(detector.entry, options.dataset, protocol))
    detections = folder / "evaluate" / "detections.csv"
    write_ava_csv(table, detections, CSV_DECIMALS.get(protocol, 3))
    rules = {
        "label_map": layout.evaluated_label_map_path,
        "exclusions": layout.get_exclusions_path("val"),
        "protocol": protocol,
    }
    return layout.get_csv_path("val"), detections, rules


def _choose_test_dataset(options):
    """The data set's name; for "ava", the version that the model's mAP was published on."""
    return zoo.get(options.model).test_dataset if options.dataset == "ava" else options.dataset


def find_run(options):
    """The folder of a model's run, and the checkpoint that the options name: best and final are files in it."""
    folder = get_run_folder(options.output_dir, options.dataset, zoo.get(options.model).alias, options.tag)
    checkpoint = resolve_checkpoint(folder, options.checkpoint)
    if checkpoint not in ("published", "pretrained", "mini", "random") and not is_url(checkpoint):
        if not Path(checkpoint).is_file():
            raise FileNotFoundError(
                f"--checkpoint {checkpoint}: no such file; expected best, final, published, mini, a path or a URL"
            )
    return folder, checkpoint


def run_detect(options):
    """Detect people and actions in a video; write the table and the annotated video."""
    mode = choose_mode(options)
    if mode == LIVE:
        from avalib.cli.live_command import run_live

        return run_live(options)
    if mode == MANY:
        from avalib.cli.detect_folder import run_detect_folder

        return run_detect_folder(options)
    from avalib.cli.detect_single import run_detect_single

    return run_detect_single(options)


def run_zoo(options):
    """Run the notebooks for the models: 03 to 06, or 01 to 05."""
    from avalib.zoo_runner.headless import run_all_notebooks, run_zoo_notebook

    # What the notebooks print reaches us through papermill's logger.
    logging.getLogger("papermill").addHandler(logging.StreamHandler(sys.stdout))
    logging.getLogger("papermill").setLevel(logging.INFO)
    shared = {
        "models": zoo.select_models(options.models),
        "dataset": options.dataset,
        "data_seed": options.data_seed,
        "minutes": options.minutes,
        "existing": options.existing,
        "device": options.device,
        "tag": options.tag,
        "output_dir": options.output_dir,
    }
    if options.first_notebook == "01_prepare_data":
        run_all_notebooks(**shared, notebooks=options.notebooks)
    else:
        executed = run_zoo_notebook({**shared, "checkpoint": options.checkpoint}, options.notebooks)
        print(f"all results are in {executed} and beside it")
    return 0


def run_verify(options):
    """Verify records; print what was compared."""
    for path in options.paths:
        if not Path(path).exists():
            raise FileNotFoundError(f"{path}: no such file or folder; expected a run's folder, a run.json or results")
    from avalib.zoo_runner.verification import count_verdicts, verify_records

    table = verify_records(options.paths)
    print(table.to_string(index=False))
    counts = count_verdicts(table)
    print(", ".join(f"{verdict}: {count}" for verdict, count in counts.items()))
    return 1 if counts["differs"] or not counts["same"] else 0


def run_export(options):
    """Export a model."""
    folder, checkpoint = find_run(options)
    from avalib.models.build import build_model
    from avalib.models.checkpoint_meta import get_default_preprocessing
    from avalib.models.export import export_model

    # The exported file carries the action names and how clips are made, as the checkpoint does.
    model = build_model(options.model, None if checkpoint == "random" else checkpoint)
    label_map = model.meta.label_map if model.meta else None
    preprocessing = (model.meta and model.meta.preprocessing) or get_default_preprocessing(model.entry)
    export_model(model, options.path, options.size, label_map, preprocessing)
    return 0


def run_report(options):
    """Print the results of runs and where their files are."""
    # The folder of one run has records one level down, the folder of all runs further down.
    folder = Path(options.folder)
    runs = [folder] if list(folder.glob("*/run.json")) else sorted({p.parents[1] for p in folder.rglob("*/run.json")})
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; expected the folder of one run, or of all runs")
    if not runs:
        raise FileNotFoundError(f"{folder}: no run.json in it; train a model first (avalib train, or make demo)")
    for run in runs:
        print_run_report(run)
    return 0
