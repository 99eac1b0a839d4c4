#!/usr/bin/env bash
# Makes the Spark that pip put into a virtual environment work from VENV/bin without activating, with this conf/.
#
#   conf/link-spark.sh VENV
#
# May be run again at any time.
set -euo pipefail

if [ $# -ne 1 ] || [ ! -x "$1/bin/find-spark-home" ]; then
  echo "error: A virtual environment with pyspark is needed. Received: ${*:-nothing}. Accepted: conf/link-spark.sh VENV" >&2
  exit 2
fi
bin="$(cd "$1/bin" && pwd)"
conf="$(cd "$(dirname "$0")" && pwd)"

# pip's find-spark-home asks the first python3 on the PATH, which knows no pyspark unless the environment is activated.
# shellcheck disable=SC2016  # these are the script's own words, not ours to expand
sed -i.orig 's|\$(\$PYSPARK_DRIVER_PYTHON "\$FIND_SPARK_HOME_PYTHON_SCRIPT")|$("$(dirname "$FIND_SPARK_HOME_PYTHON_SCRIPT")/python3" "$FIND_SPARK_HOME_PYTHON_SCRIPT")|' "$bin/find-spark-home"
rm "$bin/find-spark-home.orig"

spark_home="$(env -u SPARK_HOME "$bin/python3" "$bin/find_spark_home.py")"
if [ -e "$spark_home/conf" ] && [ ! -L "$spark_home/conf" ]; then
  echo "error: Spark has a configuration of its own. Received: $spark_home/conf. Accepted: no such directory; move it away first." >&2
  exit 2
fi
ln -sfn "$conf" "$spark_home/conf"
