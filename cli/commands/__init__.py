"""The commands, one module for each subject: arguments, a call of the rules, and the output."""
