"""What the jobs on Glue and in the small-run Lambda share: settings, objects, messages, sending, engines, results."""
