"""python -m benchmarks NAME [--rounds N]: one measurement; without a name, all of them."""

import argparse

from benchmarks import (
    balancing,
    compression,
    distillation,
    domain_adaptation,
    encoding,
    few_shot,
    fine_tuning,
    flickr,
    images,
    merging,
    multi_task,
    serving,
)

BENCHMARKS = {
    "encoding": encoding.main,
    "fine_tuning": fine_tuning.main,
    "few_shot": few_shot.main,
    "flickr": flickr.main,
    "balancing": balancing.main,
    "compression": compression.main,
    "distillation": distillation.main,
    "domain_adaptation": domain_adaptation.main,
    "images": images.main,
    "merging": merging.main,
    "multi_task": multi_task.main,
    "serving": serving.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=BENCHMARKS, help="default: all of them")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each (default: 5)")
    chosen = parser.parse_args()
    for name, run in BENCHMARKS.items():
        if chosen.name in (None, name):
            print(f"# {name}\n", flush=True)
            try:
                run(chosen.rounds)
            except FileNotFoundError as missing:
                print(f"skipped: {missing}", flush=True)
            print(flush=True)


if __name__ == "__main__":
    main()
