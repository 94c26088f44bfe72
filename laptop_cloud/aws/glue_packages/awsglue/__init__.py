"""A subset of AWS Glue's `awsglue` package, for scripts that run in the laptop cloud's Spark drivers.

It implements job arguments, job bookmarks as AWS documents them, and a DynamicFrame of JSON lines on S3. Any other
feature raises `NotImplementedError` with its name. Names and signatures are those of the official package, with which
tests compare them; none of its code is copied.
"""
