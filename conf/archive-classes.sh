#!/usr/bin/env bash
# Has a small prepare leave the classes that it loaded in an archive, VENV/.java-classes.jsa: Java maps it, where it would find, read and check
# some 20,000 classes anew in every job. Whoever starts a Java that is to use it gives it @VENV/.java-classes.options, as spark-env.sh does.
#
#   conf/archive-classes.sh VENV
#
# https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html
set -euo pipefail

if [ $# -ne 1 ] || [ ! -x "$1/bin/spark-submit" ]; then
  echo "error: A virtual environment with pyspark is needed. Received: ${*:-nothing}. Accepted: conf/archive-classes.sh VENV" >&2
  exit 2
fi
venv="$(cd "$1" && pwd)"
jobs="$(cd "$(dirname "$0")/../jobs" && pwd)"
archive="$venv/.java-classes.jsa"
options="$venv/.java-classes.options" # empty where there is no archive
scratch="$(mktemp -d "$venv/.java-classes.XXXXXX")"
trap 'rm -rf "$scratch"' EXIT

submit() { # JAVA_OPTIONS ARGUMENTS…
  SPARK_SUBMIT_OPTS="$1 -Xlog:cds=off -Xlog:cds+dynamic=off" SLOTWISE_CLUSTER='' "$venv/bin/spark-submit" "${@:2}"
}

echo "Archiving the Java classes that jobs load, once: each will start some seconds sooner."
rm -f "$options" "$archive"
if (
  cd "$scratch"
  submit "-XX:ArchiveClassesAtExit='$scratch/classes.jsa'" --master 'local[2]' \
    "$jobs/prepare.py" --dataset dataset --classes 2 --per-class 40 --image-size 16x16 --logical-shards 2 &&
    # Whole, and for the class path that jobs have: this Java goes no further without it.
    submit "-Xshare:on -XX:SharedArchiveFile='$scratch/classes.jsa'" --version
) >"$scratch/log" 2>&1; then
  mv "$scratch/classes.jsa" "$archive"
  # Mapped at the addresses that it was made for, as until Java 16, it need not be copied and changed: a quarter of a second and 180 MB for each
  # process. Where it does not fit (another Java, other jars in front), Java does without, and need not say so each time.
  cat >"$scratch/options" <<OPTIONS
"-XX:SharedArchiveFile=$archive" -XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0
-Xlog:cds=off -Xlog:cds+dynamic=off
OPTIONS
else
  cat "$scratch/log" >&2
  echo "note: This Java leaves no archive of classes, for which the lines above may have the reason. Jobs work without it." >&2
  : >"$scratch/options" # so that make does not try again each time
fi
mv "$scratch/options" "$options"
