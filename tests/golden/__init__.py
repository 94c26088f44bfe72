"""The golden corpus: what the change-log job made of a fixed set of inputs when it was recorded, byte for byte."""
