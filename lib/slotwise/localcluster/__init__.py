"""A real HDFS, a Spark standalone cluster and a History Server on this machine, for trying out and for tests."""
