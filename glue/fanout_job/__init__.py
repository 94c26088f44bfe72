"""The library behind the jobs, on Glue and in Lambda: settings, objects, messages, sending, engines, results."""
