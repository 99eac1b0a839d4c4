"""spark-submit jobs/evaluate.py --runs URI: what runs know of a split, side by side and class by class. Kept short: the work is in the library."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from slotwise import config
from slotwise.contracts.paths import EvaluationPaths
from slotwise.evaluation.write import markdown
from slotwise.pipelines import evaluate
from slotwise.settings.evaluate import EvaluateSettings


def main(arguments: Sequence[str]) -> None:
    settings = config.load(EvaluateSettings, arguments)
    record = evaluate.run(settings, shlex.join(["spark-submit", "jobs/evaluate.py", *arguments]))
    print(markdown(record))
    print(f"report: {EvaluationPaths(settings.output).html}", flush=True)


if __name__ == "__main__":
    config.run_job(main)
