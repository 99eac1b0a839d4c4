"""`make bench`: prints each ratio, and keeps all of them in docs/results/bench.json and bench.md.

    python -m benchmarks [--pairs N] [--only TEXT]
"""

from __future__ import annotations

import argparse

from benchmarks import results
from benchmarks.pairs import compare
from benchmarks.rounds import ROUNDS


def main() -> None:
    """Measures round after round; what is measured is kept even if a later round fails."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5, help="turns of each round that count (default: %(default)s)")
    parser.add_argument("--only", default="", metavar="TEXT", help="measure only the lines that have this in their name or in their round's")
    options = parser.parse_args()
    names = [claim.name for each in ROUNDS for claim in each.claims]
    chosen = [(each, [claim for claim in each.claims if options.only in f"{each.name}: {claim.name}"]) for each in ROUNDS]
    if not any(claims for _, claims in chosen):
        parser.error(f"no line has {options.only!r} in its name; there are: {'; '.join(names)}")
    text = ""
    for each, claims in chosen:
        if claims:
            print(f"{each.name}: {'; '.join(claim.name for claim in claims)}", flush=True)
            with each.open() as contestants:
                text = results.keep(compare(contestants, claims, pairs=options.pairs), order=names)
    print(text)


if __name__ == "__main__":
    main()
