# Sourced by every Spark command, since conf/link-spark.sh links it into $SPARK_HOME/conf.

# pip puts SPARK_HOME at VENV/lib/pythonX.Y/site-packages/pyspark; driver and executors are to run VENV's Python,
# activated or not. Elsewhere (another Spark installation, --conf spark.pyspark.python) nothing is touched.
if [ -z "${PYSPARK_PYTHON:-}" ] && [ -x "${SPARK_HOME}/../../../../bin/python" ]; then
  PYSPARK_PYTHON="$(cd -P "${SPARK_HOME}/../../../../bin" && pwd)/python"
fi

# Drivers and Spark's own servers take their classes from the archive that conf/archive-classes.sh has left; where it does not fit
# (another Java, other jars in front), Java does without. Mapped at the addresses that it was made for, as until Java 16, it need not be
# copied and changed: a quarter of a second and 180 MB for each process.
if [ -s "${SPARK_HOME}/../../../../.java-classes.jsa" ]; then
  archived="-XX:SharedArchiveFile='$(cd -P "${SPARK_HOME}/../../../.." && pwd)/.java-classes.jsa' -XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0 -Xlog:cds=off -Xlog:cds+dynamic=off"
  SPARK_SUBMIT_OPTS="${archived} ${SPARK_SUBMIT_OPTS:-}"
  SPARK_DAEMON_JAVA_OPTS="${archived} ${SPARK_DAEMON_JAVA_OPTS:-}"
  SPARK_DAEMON_CLASSPATH="${SPARK_HOME}/jars/*${SPARK_DAEMON_CLASSPATH:+:${SPARK_DAEMON_CLASSPATH}}"
  unset archived
fi

# A session that names no event log directory uses Spark's own default, which Spark does not make.
mkdir -p /tmp/spark-events 2>/dev/null || true
