"""The jobs' library, for Glue and Lambda: settings, objects, messages, sending, engines, results."""
