"""The commands: each reads its arguments, calls the rules beside this folder, and shows what they say."""
