"""Codecs: the bytes of an input, cut into pieces of newline-delimited JSON. One file each; none knows a file."""
