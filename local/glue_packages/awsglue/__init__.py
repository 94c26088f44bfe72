"""Stand-in for the `awsglue` package of AWS Glue, for scripts that run in the laptop cloud's Spark drivers.

Only what can be had without Glue's own jars: arguments, a context that gives the Spark session, and a job whose
bookmark calls keep no state.
"""
