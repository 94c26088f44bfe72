"""The published design, unchanged, for comparison: one Glue job for all providers, one `transformation_ctx`, one
message per row, `Job.commit` at the end. Only tests/end_to_end/test_glue_bookmarks_at_once.py uses it.
"""

import sys

import boto3
from awsglue.context import GlueContext
from awsglue.job import Job
from awsglue.utils import getResolvedOptions
from pyspark.context import SparkContext

args = getResolvedOptions(sys.argv, ["JOB_NAME", "provider", "change_log_dir", "queue_url"])
glue_context = GlueContext(SparkContext.getOrCreate())
job = Job(glue_context)
job.init(args["JOB_NAME"], args)

changes = glue_context.create_dynamic_frame.from_options(
    connection_type="s3",
    connection_options={"paths": [f"{args['change_log_dir']}/provider={args['provider']}/"], "recurse": True},
    format="json",
    transformation_ctx="change_log",
)
sqs = boto3.client("sqs")
for row in changes.toDF().toJSON().collect():
    sqs.send_message(QueueUrl=args["queue_url"], MessageBody=row)

job.commit()
