#!/usr/bin/env python3
"""Writes unicode_table.h: the first letter of the general category of every code point, as runs.

    pip install unicodedata2==15.1.0; python3 unicode_make.py > unicode_table.h

Takes unicodedata2 (any version of Unicode, from PyPI) where it is installed, else Python's own unicodedata. Unicode 15.1 is
what llama.cpp's tables were made from, so that both split text alike.
"""
try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

# White_Space of PropList.txt where the category, Cc, does not say so.
CONTROL_SPACES = {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85}


def letter_of(code):
    return "Z" if code in CONTROL_SPACES else unicodedata.category(chr(code))[0]


print("/* Made by unicode_make.py from Unicode %s. Each row: the class of the code points from here to the next row's. */"
      % unicodedata.unidata_version)
line, last = "", None
for code in range(0x110000):
    letter = letter_of(code)
    if letter == last:
        continue
    last = letter
    row = "%s(0x%x)" % (letter, code)
    if len(line) + 1 + len(row) > 100:
        print(line)
        line = ""
    line += (" " if line else "") + row
print(line)
