"""What a clip costs in each network of the zoo: time, arithmetic, parameters, memory.

    python benchmarks/bench_zoo.py [--models slowonly_r50 "umt*"] [--device cpu] [--repeats 3] [--update]

docs/models.md and notebook 06 show the results. One clip of 256x340 pixels with three boxes, float32, the form of
`for_inference`, random weights (they do not change the time), no frames read. Each network in a fresh process, once for
all models that have it; medians of the repeats, after one that isn't counted. Processor seconds well below seconds
times threads mean that other processes had the cores: measure again. Arithmetic: the backbone's, 2 FLOPs a
multiply-add.
Where each box costs a network of its own (ACRN), the time of a further box is measured too.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

HEIGHT, WIDTH, BOXES, MORE_BOXES = 256, 340, 3, 11


def main():
    """Measure the networks, print a line each, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["*"], help="names or patterns; default: all")
    parser.add_argument("--device", default="auto", help='"auto", "cpu", "cuda", "mps"')
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--update", action="store_true", help="keep what the record has of other models")
    parser.add_argument("--json", help="where the results go; default outputs/benchmarks/zoo_<device>.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure_model(options.child, options.device, options.repeats)))
        return
    measurements = []
    for name in list_networks(options.models):
        command = [sys.executable, __file__, "--child", name, "--device", options.device]
        command += ["--repeats", str(options.repeats)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout
        measurements.append(json.loads(output.splitlines()[-1]))
        print(describe_measurement(measurements[-1]), flush=True)
    write_record(measurements, options)


def list_networks(names):
    """Of the models with these names or patterns, the first one of each network."""
    from avalib import zoo

    chosen = []
    for entry in map(zoo.get, zoo.select_models(names)):
        if not any(zoo.is_same_network(entry, other) for other in chosen):
            chosen.append(entry)
    return [entry.alias for entry in chosen]


def measure_model(name, device, repeats):
    """Measure one model in this process."""
    import torch

    from avalib.models.build import build_model
    from avalib.models.fused import for_inference
    from avalib.models.summary import count_backbone_flops, count_parameters
    from avalib.utils.device import choose_device
    from avalib.utils.experiment import describe_machine
    from avalib.utils.process import get_peak_memory_bytes
    from avalib.utils.workers import disable_malloc_trim

    disable_malloc_trim()  # as `detect` and the evaluation
    device = choose_device(device)
    model = build_model(name, verbose=False)
    sizes = {"flops": count_backbone_flops(model, HEIGHT, WIDTH), "parameters": count_parameters(model)}
    entry = model.entry
    model = for_inference(model.to(device), torch.float32, verbose=False)
    clip = torch.randn(1, 3, entry.clip_len, HEIGHT, WIDTH, device=device)
    processor_start = time.process_time()
    all_seconds = time_forward(model, clip, BOXES, repeats)
    processor_seconds = (time.process_time() - processor_start) / (repeats + 1)
    measurement = {"model": name, "seconds": statistics.median(all_seconds), "all": all_seconds, **sizes}
    measurement["processor_seconds"] = round(processor_seconds, 4)
    if device.type == "cuda":
        peak_bytes = torch.cuda.max_memory_allocated(device)
    else:
        peak_bytes = get_peak_memory_bytes()
    measurement["peak_GB"] = round(peak_bytes / 1e9, 2)
    if entry.relation:
        longer = statistics.median(time_forward(model, clip, MORE_BOXES, repeats))
        measurement["seconds_per_box"] = (longer - measurement["seconds"]) / (MORE_BOXES - BOXES)
    return measurement | {
        "device": device.type,
        "threads": torch.get_num_threads(),
        "hardware": describe_machine(),
    }


def time_forward(model, clip, n_boxes, repeats):
    """Seconds of each of `repeats` forward passes with some boxes, after one that isn't counted."""
    import torch

    # Boxes of 120x200 pixels at different places.
    left = torch.linspace(80, 180, n_boxes)
    rois = torch.stack([0 * left, left, 0 * left + 40, left + 120, 0 * left + 240], dim=1).to(clip.device)
    all_seconds = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            started = time.perf_counter()
            model(clip, rois).cpu()  # a GPU has finished too
            all_seconds.append(round(time.perf_counter() - started, 4))
    return all_seconds[1:]


def describe_measurement(measurement):
    """A line about a network."""
    per_box = measurement.get("seconds_per_box")
    return (
        f"{measurement['model']:<33} {1000 * measurement['seconds']:>9.1f} ms  "
        f"{1000 * measurement['processor_seconds']:>9.1f} processor ms  {measurement['flops']:>9.3g} FLOP  "
        f"{measurement['parameters']:>11,} parameters  {measurement['peak_GB']:.2f} GB"
        + (f"  {1000 * per_box:.0f} ms a further box" if per_box else "")
    )


def write_record(measurements, options):
    """Write the measurements with machine, versions and commit."""
    from avalib.utils.experiment import get_git_state, get_versions
    from avalib.utils.files import write_json
    from avalib.zoo_runner.leaderboard import describe_hardware

    first = measurements[0]
    hardware, device, threads = first["hardware"], first["device"], first["threads"]
    path = Path(options.json or f"outputs/benchmarks/zoo_{device}.json")
    rows = [{key: value for key, value in row.items() if key != "hardware"} for row in measurements]
    if options.update and path.exists():
        new = [row["model"] for row in rows]
        old = json.loads(path.read_text(encoding="utf-8"))["rows"]
        rows = [row for row in old if row["model"] not in new] + rows
    machine = describe_hardware(hardware)
    if device == "cpu":
        machine = f"{hardware['processor']}, {threads} thread{'s' * (threads != 1)}"
    record = {
        "machine": machine,
        "clip": f"{HEIGHT}x{WIDTH}, {BOXES} boxes, float32, for_inference",
        "repeats": options.repeats,
        "rows": rows,
        "hardware": hardware,
        "versions": get_versions(),
        "git": get_git_state(),
    }
    print(f"written: {write_json(path, record)}")


if __name__ == "__main__":
    main()
