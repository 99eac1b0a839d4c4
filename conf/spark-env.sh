# Sourced by every Spark command, since conf/link-spark.sh makes this directory $SPARK_HOME/conf.

# pip puts SPARK_HOME at VENV/lib/pythonX.Y/site-packages/pyspark; driver and executors are to run VENV's Python,
# activated or not. Elsewhere (another Spark installation, --conf spark.pyspark.python) nothing is touched.
if [ -z "${PYSPARK_PYTHON:-}" ] && [ -x "${SPARK_HOME}/../../../../bin/python" ]; then
  PYSPARK_PYTHON="$(cd -P "${SPARK_HOME}/../../../../bin" && pwd)/python"
fi

# A session that names no event log directory uses Spark's own default, which Spark does not make.
mkdir -p /tmp/spark-events 2>/dev/null || true
