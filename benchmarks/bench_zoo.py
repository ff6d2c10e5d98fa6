"""What a clip costs in each row of the zoo: latency, arithmetic, parameters, memory; for the figure of notebook 06.

    python benchmarks/bench_zoo.py [--models slowonly_r50 …] [--device cpu] [--repeats 5] [--json outputs/benchmarks/…]

One clip of 256x340 pixels with three boxes, float32, random weights (they do not change the time), no frames read. Each
row in a fresh process; medians of the repeats, after one that isn't counted. Arithmetic: the backbone's, 2 FLOPs a
multiply-add.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

HEIGHT, WIDTH, BOXES = 256, 340, 3


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", help="rows; default: all seven")
    parser.add_argument("--device", default="auto", help='"auto", "cpu", "cuda", "mps"')
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", help="where the figures go; default outputs/benchmarks/zoo_<device>.json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.child, args.device, args.repeats)))
        return
    from avalib import zoo

    names = [zoo.get(name).alias for name in args.models] if args.models else zoo.list_models()
    rows = []
    for name in names:
        command = [sys.executable, __file__, "--child", name, "--device", args.device, "--repeats", str(args.repeats)]
        rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout))
        print(
            "{model:<25} {ms:>9.1f} ms  {flops:>9.3g} FLOP  {parameters:>10,} parameters".format(
                **rows[-1], ms=1000 * rows[-1]["seconds"]
            ),
            flush=True,
        )
    write_results(rows, args.json)


def measure(name, device, repeats):
    """One row's figures, in this process."""
    import torch

    from avalib.models.build import build_model
    from avalib.models.summary import count_backbone_flops, count_parameters
    from avalib.utils.device import choose_device
    from avalib.utils.experiment import describe_machine
    from avalib.utils.process import get_peak_memory_bytes

    device = choose_device(device)
    model = build_model(name, verbose=False)
    flops = count_backbone_flops(model, HEIGHT, WIDTH)
    model = model.to(device).eval()
    clip = torch.randn(1, 3, model.entry.clip_len, HEIGHT, WIDTH, device=device)
    box = torch.tensor([0, 80, 40, 200, 240.0])
    rois = torch.stack([box + torch.tensor([0, 30.0 * i, 0, 30.0 * i, 0]) for i in range(BOXES)]).to(device)
    seconds = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            started = time.perf_counter()
            model(clip, rois).cpu()  # a GPU has finished too
            seconds.append(time.perf_counter() - started)
    if device.type == "cuda":
        memory = torch.cuda.max_memory_allocated(device)
    else:
        memory = get_peak_memory_bytes()
    return {
        "model": name,
        "seconds": statistics.median(seconds[1:]),
        "all": [round(s, 4) for s in seconds[1:]],
        "flops": flops,
        "parameters": count_parameters(model),
        "peak_GB": round(memory / 1e9, 2),
        "device": device.type,
        "threads": torch.get_num_threads(),
        "hardware": describe_machine(),
    }


def write_results(rows, path):
    from avalib.utils.experiment import get_git_state, get_versions
    from avalib.utils.files import write_json
    from avalib.zoo_runner.leaderboard import describe_hardware

    hardware = rows[0]["hardware"]
    for row in rows:
        del row["hardware"]
    device, threads = rows[0]["device"], rows[0]["threads"]
    description = describe_hardware(hardware)
    machine = description if device != "cpu" else f"{hardware['processor']}, {threads} thread{'s' * (threads != 1)}"
    results = {
        "machine": machine,
        "clip": f"{HEIGHT}x{WIDTH}, {BOXES} boxes, float32",
        "rows": rows,
        "hardware": hardware,
        "versions": get_versions(),
        "git": get_git_state(),
    }
    path = write_json(path or f"outputs/benchmarks/zoo_{device}.json", results)
    print(f"written: {path}")


if __name__ == "__main__":
    main()
