#!/usr/bin/env bash
# Runs one role of a cluster in the foreground: role.sh namenode|datanode|master|worker|history|driver|executor,
# or any other command as it is. Addresses: NAMENODE and MASTER (host names), BIND (interface), DATA (directory).
set -euo pipefail

namenode="${NAMENODE:-namenode}" master="${MASTER:-master}" bind="${BIND:-0.0.0.0}" data="${DATA:-/data}"
hdfs="hdfs://$namenode:9000"
export SPARK_HOME="${SPARK_HOME:-$(python -c 'from slotwise.localcluster import spark; print(spark.home())')}"

hadoop() {  # CLASS ARGUMENTS…
  local jar options=()
  jar="$(python -c 'from slotwise.localcluster.hadoop import servers_jar; print(servers_jar())')"
  options+=(-D "fs.defaultFS=$hdfs" -D dfs.replication="${REPLICATION:-1}" -D dfs.namenode.rpc-bind-host="$bind")
  options+=(-D dfs.namenode.http-address="$bind:9870" -D dfs.namenode.name.dir="file://$data/name" -D dfs.datanode.data.dir="file://$data/data")
  options+=(-D dfs.datanode.address="$bind:9866" -D dfs.datanode.http.address="$bind:9864" -D dfs.datanode.ipc.address="$bind:9867")
  # Containers have no reverse names, and one user.
  options+=(-D dfs.namenode.datanode.registration.ip-hostname-check=false -D dfs.permissions.enabled=false)
  exec java -Xmx512m -Dslotwise.log.level=info -cp "$SPARK_HOME/conf:$jar:$SPARK_HOME/jars/*" "$1" "${options[@]}" "${@:2}"
}

executor() {  # the command by which Spark on Kubernetes starts an executor
  local options=() name
  for name in $(compgen -e | grep '^SPARK_JAVA_OPT_' | sort -t_ -k4 -n); do options+=("${!name}"); done
  exec java "${options[@]}" "-Xms$SPARK_EXECUTOR_MEMORY" "-Xmx$SPARK_EXECUTOR_MEMORY" \
    -cp "${SPARK_CONF_DIR:-$SPARK_HOME/conf}:${SPARK_CLASSPATH:-}:$SPARK_HOME/jars/*" \
    org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend \
    --driver-url "$SPARK_DRIVER_URL" --executor-id "$SPARK_EXECUTOR_ID" --cores "$SPARK_EXECUTOR_CORES" \
    --app-id "$SPARK_APPLICATION_ID" --hostname "$SPARK_EXECUTOR_POD_IP" \
    --resourceProfileId "$SPARK_RESOURCE_PROFILE_ID" --podName "$SPARK_EXECUTOR_POD_NAME"
}

role="${1:?which role}"
shift
case "$role" in
  namenode)
    [ -e "$data/name/current/VERSION" ] || (hadoop org.apache.hadoop.hdfs.server.namenode.NameNode -format -nonInteractive)
    hadoop org.apache.hadoop.hdfs.server.namenode.NameNode ;;
  datanode)
    hadoop org.apache.hadoop.hdfs.server.datanode.DataNode ;;
  master)
    exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.master.Master --host "$master" --port 7077 --webui-port 8080 ;;
  worker)
    exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.worker.Worker --webui-port 8081 --work-dir "$data/work" \
      --cores "${CORES:-1}" --memory "${MEMORY:-2g}" "spark://$master:7077" ;;
  history)
    python -c 'import sys; from slotwise import storage; storage.make_directory(sys.argv[1])' "$hdfs/spark-events"
    export SPARK_HISTORY_OPTS="-Dspark.history.fs.logDirectory=$hdfs/spark-events -Dspark.history.fs.update.interval=5s"
    exec "$SPARK_HOME/bin/spark-class" org.apache.spark.deploy.history.HistoryServer ;;
  driver)
    exec "$SPARK_HOME/bin/spark-submit" --conf "spark.driver.bindAddress=$SPARK_DRIVER_BIND_ADDRESS" \
      --conf "spark.executorEnv.SPARK_DRIVER_POD_IP=$SPARK_DRIVER_BIND_ADDRESS" --deploy-mode client "$@" ;;
  executor)
    executor ;;
  *)
    exec "$role" "$@" ;;
esac
