# Sourced by every Spark command, since conf/link-spark.sh links it into $SPARK_HOME/conf.

# pip puts SPARK_HOME at VENV/lib/pythonX.Y/site-packages/pyspark; driver and executors are to run VENV's Python,
# activated or not. Elsewhere (another Spark installation, --conf spark.pyspark.python) nothing is touched.
if [ -z "${PYSPARK_PYTHON:-}" ] && [ -x "${SPARK_HOME}/../../../../bin/python" ]; then
  PYSPARK_PYTHON="$(cd -P "${SPARK_HOME}/../../../../bin" && pwd)/python"
fi

# Drivers and Spark's own servers take their classes from the archive that conf/archive-classes.sh has left.
archived="${SPARK_HOME}/../../../../.java-classes.options"
if [ -s "${archived}" ]; then
  SPARK_SUBMIT_OPTS="'@${archived}' ${SPARK_SUBMIT_OPTS:-}"
  SPARK_DAEMON_JAVA_OPTS="'@${archived}' ${SPARK_DAEMON_JAVA_OPTS:-}"
  SPARK_DAEMON_CLASSPATH="${SPARK_HOME}/jars/*${SPARK_DAEMON_CLASSPATH:+:${SPARK_DAEMON_CLASSPATH}}"
fi
unset archived

# A session that names no event log directory uses Spark's own default, which Spark does not make.
mkdir -p /tmp/spark-events 2>/dev/null || true
