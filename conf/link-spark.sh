#!/usr/bin/env bash
# Makes the Spark that pip put into a virtual environment work from VENV/bin without activating, with the configuration beside this script.
#
#   conf/link-spark.sh VENV
#
# May be run again at any time, and has to be where spark-defaults.conf has changed.
set -euo pipefail

if [ $# -ne 1 ] || [ ! -x "$1/bin/find-spark-home" ]; then
  echo "error: A virtual environment with pyspark is needed. Received: ${*:-nothing}. Accepted: conf/link-spark.sh VENV" >&2
  exit 2
fi
bin="$(cd "$1/bin" && pwd)"
ours="$(cd "$(dirname "$0")" && pwd)"

# pip's find-spark-home asks the first python3 on the PATH, which knows no pyspark unless the environment is activated.
# shellcheck disable=SC2016  # these are the script's own words, not ours to expand
sed -i.orig 's|\$(\$PYSPARK_DRIVER_PYTHON "\$FIND_SPARK_HOME_PYTHON_SCRIPT")|$("$(dirname "$FIND_SPARK_HOME_PYTHON_SCRIPT")/python3" "$FIND_SPARK_HOME_PYTHON_SCRIPT")|' "$bin/find-spark-home"
rm "$bin/find-spark-home.orig"

spark_home="$(env -u SPARK_HOME "$bin/python3" "$bin/find_spark_home.py")"
conf="$spark_home/conf"
if [ -L "$conf" ]; then rm "$conf"; fi # as earlier versions had it
if [ -e "$conf" ] && [ ! -L "$conf/spark-env.sh" ]; then
  echo "error: Spark has a configuration of its own. Received: $conf. Accepted: no such directory; move it away first." >&2
  exit 2
fi
mkdir -p "$conf"
ln -sfn "$ours/log4j2.properties" "$ours/spark-env.sh" "$conf"
{
  cat "$ours/spark-defaults.conf"
  echo
  echo "# The jars come before the configuration, which is a directory: Java takes no classes from an archive that come after one."
  echo "spark.driver.extraClassPath  $spark_home/jars/*"
} >"$conf/spark-defaults.conf.new"
mv "$conf/spark-defaults.conf.new" "$conf/spark-defaults.conf"

# Spark puts its Python library, zipped, and a jar before all else on the path of drivers and workers. pip has installed the same library beside them,
# compiled: a second less for each job to start in, and a worker need not read the zips' tables again before each task.
if [ -e "$spark_home/__init__.py" ]; then
  unzipped="${spark_home%/*}/spark-unzipped.pth"
  "$bin/python3" - "$spark_home" >"$unzipped.new" <<'END'
import sys

own = tuple(f"{sys.argv[1]}/{directory}/" for directory in ("python/lib", "jars"))
# What site has imported before this line has opened the zips already, and what is opened is looked through again.
print(f"import sys; sys.path[:] = [path for path in sys.path if not path.startswith({own!r})]; [sys.path_importer_cache.pop(path) for path in [*sys.path_importer_cache] if path.startswith({own!r})]")
END
  mv "$unzipped.new" "$unzipped"
fi
