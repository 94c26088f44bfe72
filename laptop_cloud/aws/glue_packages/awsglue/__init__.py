"""Stand-in for the `awsglue` package of AWS Glue, for scripts that run in the laptop cloud's Spark drivers.

Only what can be had without Glue's own jars, and only what this project and the article it follows use: arguments,
job bookmarks as AWS documents them, and a DynamicFrame over JSON lines on S3. Whatever else a script asks for is
refused by name instead of being guessed at. Names and signatures are those of the official package (a test compares
them); no line of it is copied.
"""
