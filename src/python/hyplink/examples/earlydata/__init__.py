"""Early data: the sample driver of a vlink, in C and in Python."""
