#!/usr/bin/env python3
"""Our NSGA-II beside pagmo2's and pymoo's on the layers of a model or of a file of head distances; run.sh calls it.

All get the same population, generations and fitness, one thread, and the same credit: the best grouping of every group
count that was ever scored, whether it stayed in the population or not. pymoo's fitness is the same sum in NumPy, the
whole population at once. Seconds are for one layer and all generations, the median. `catch-up` is how many times longer
a tool takes than ours takes to surpass the hypervolume the tool ends with (or to reach it where that is the proven
front's): the median, and the worst layer and seed; ours is then run anew for 0, 1, 2, 4, ... generations. Hypervolume and distance are of the front (groups, cost) of a layer, the mean over layers and
seeds: the first as a share of the proven front's, the second as the mean over group counts of how much more than the
proven cost it takes with so many groups. (Proven: by the default search, within its gap.)
"""

import argparse
import json
import math
import os
import subprocess
import time

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402  (after the threads are set)
from pymoo.algorithms.moo.nsga2 import NSGA2  # noqa: E402
from pymoo.core.problem import Problem  # noqa: E402
from pymoo.operators.crossover.sbx import SBX  # noqa: E402
from pymoo.operators.mutation.pm import PM  # noqa: E402
from pymoo.operators.repair.rounding import RoundingRepair  # noqa: E402
from pymoo.operators.sampling.rnd import IntegerRandomSampling  # noqa: E402
from pymoo.optimize import minimize  # noqa: E402


class LabelProblem(Problem):
    """A head's gene is the number of its group, as in nsga2_bench.cpp."""

    def __init__(self, distances):
        heads = len(distances)
        super().__init__(n_var=heads, n_obj=2, xl=0, xu=heads - 1, vtype=int)
        self.distances = distances
        self.best = np.full(heads + 1, math.inf)

    def _evaluate(self, x, out, *args, **kwargs):
        member = (x[:, None, :] == np.arange(self.n_var)[None, :, None]).astype(float)  # candidate, group, head
        sizes = member.sum(axis=2)
        inside = np.einsum("cgh,cgh->cg", member @ self.distances, member) / 2
        cost = (inside / np.maximum(sizes, 1)).sum(axis=1)
        groups = (sizes > 0).sum(axis=1)
        np.minimum.at(self.best, groups, cost)
        out["F"] = np.column_stack([groups, cost])


def pymoo_run(distances, population, generations, seed):
    problem = LabelProblem(distances)
    # As pymoo's documentation has it for whole numbers.
    algorithm = NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=0.9, eta=15, vtype=float, repair=RoundingRepair()),
        mutation=PM(eta=20, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    begin = time.perf_counter()
    minimize(problem, algorithm, ("n_gen", generations + 1), seed=seed)  # its first generation is the random one
    return {"seconds": time.perf_counter() - begin, "best": problem.best}


def staircase(best):
    """The least cost with at most so many groups, from 1 group on."""
    return np.minimum.accumulate(np.array([math.inf if cost is None else cost for cost in best], dtype=float)[1:])


def quality(best, proven):
    """(share of the proven front's hypervolume, mean excess over the proven costs)."""
    found, least = staircase(best), staircase(proven)
    one_group = least[0]  # nothing costs more; the reference is that cost at one group more than there are heads
    area = [np.maximum(one_group - costs, 0).sum() for costs in (found, least)]
    # From 2 groups on and below all heads: the ends have one grouping each. An unreached front counts as one group.
    middle = slice(1, -1)
    excess = np.minimum(found[middle], one_group) / least[middle] - 1
    return area[0] / area[1], round(float(np.mean(excess[np.isfinite(excess)])), 12) + 0.0


def catch_up(search, other, proven):
    target = quality(other["best"], proven)[0]
    for run in search:
        volume = quality(run["best"], proven)[0]
        if volume > target or volume >= 1 - 1e-12:
            return other["seconds"] / run["seconds"]
    return 0.0


def median(runs):
    return float(np.median([run["seconds"] for run in runs]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", nargs="+", help="a file of head distances, or a model")
    parser.add_argument("--binary", default="build/release/tests/bench/qcqa_nsga2_bench")
    parser.add_argument("--population", type=int, default=128)
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    seeds = range(1, options.seeds + 1)

    print(f"population {options.population}, {options.generations} generations, {options.seeds} seeds, one thread")
    for name in options.input:
        command = [options.binary, name, str(options.population), str(options.generations), *map(str, seeds)]
        environment = dict(os.environ)
        layers = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment).stdout)
        for layer in layers:
            distances = np.array(layer["distances"]).reshape(layer["heads"], layer["heads"])
            layer["runs"]["pymoo"] = [
                pymoo_run(distances, options.population, options.generations, seed) for seed in seeds
            ]
        print(f"\n{name}: {len(layers)} layers of {layers[0]['heads']} heads")
        print(f"{'NSGA-II of':12}{'seconds':>9}{'ratio':>8}{'hypervolume':>13}{'worst':>9}{'excess':>10}{'worst':>9}"
              f"{'catch-up':>10}{'worst':>9}")
        ours = [search[-1] for layer in layers for search in layer["runs"]["qcqa"]]
        for tool in ("qcqa", "pagmo2", "pymoo"):
            runs = [run for layer in layers for run in layer["runs"][tool]]
            if tool == "qcqa":
                runs = ours
                faster = ""
            else:
                ratios = [catch_up(search, run, layer["proven"]["best"])
                          for layer in layers for search, run in zip(layer["runs"]["qcqa"], layer["runs"][tool])]
                faster = f"{np.median(ratios):10.1f}{min(ratios):9.1f}"
            proven = [layer["proven"]["best"] for layer in layers for _ in seeds]
            volume, excess = np.array([quality(run["best"], best) for run, best in zip(runs, proven)]).T
            print(f"{tool:12}{median(runs):9.4f}{median(runs) / median(ours):8.1f}{volume.mean():13.5f}{volume.min():9.5f}"
                  f"{excess.mean():10.2%}{excess.max():9.2%}{faster}", flush=True)
        proven = median([layer["proven"] for layer in layers])
        print(f"{'default':12}{proven:9.4f}{proven / median(ours):8.1f}{1:13.5f}{1:9.5f}{0:10.2%}{0:9.2%}   (not NSGA-II; with bounds)")


if __name__ == "__main__":
    main()
