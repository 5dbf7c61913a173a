#!/usr/bin/env python3
"""Writes the tables of unicode.c.

    pip install unicodedata2==15.1.0
    python3 unicode_make.py classes > unicode_table.h    # the general category of every code point, as runs
    python3 unicode_make.py maps > unicode_maps.h        # small letters, and what letters are without accents

Takes unicodedata2 (any version of Unicode, from PyPI) where it is installed, else Python's own unicodedata. Unicode 15.1 is
what llama.cpp's tables were made from, so that both split text alike.
"""
import sys

try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata

# White_Space of PropList.txt where the category, Cc, does not say so.
CONTROL_SPACES = {0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x85}
SURROGATES, HANGUL = range(0xD800, 0xE000), range(0xAC00, 0xD7A4)


def print_rows(rows):
    """Rows joined to lines of at most 100 columns."""
    line = ""
    for row in rows:
        if len(line) + 1 + len(row) > 100:
            print(line)
            line = ""
        line += (" " if line else "") + row
    print(line)


def letter_of(code):
    category = unicodedata.category(chr(code))
    return "Z" if code in CONTROL_SPACES else "U" if category == "Cn" else category[0]


def class_rows():
    last = None
    for code in range(0x110000):
        letter = letter_of(code)
        if letter != last:
            yield "%s(0x%x)" % (letter, code)
        last = letter


def lower(code):
    """The simple mapping: of the one letter that becomes two, the first."""
    return ord(chr(code).lower()[0])


def base(code):
    """The first of the canonical decomposition. That of Hangul is computed."""
    return code if code in HANGUL else ord(unicodedata.normalize("NFD", chr(code))[0])


def map_rows(function):
    """Code points that are mapped, as runs: first, how many, the step from one to the next, the first's image and its step."""
    pairs = [(c, function(c)) for c in range(0x110000) if c not in SURROGATES and function(c) != c]
    at = 0
    while at < len(pairs):
        first, image = pairs[at]
        best = (1, 1, 0)
        for step in (1, 2):
            for image_step in (0, 1, 2):
                n = 1
                while pairs[at + n:at + n + 1] == [(first + n * step, image + n * image_step)]:
                    n += 1
                best = max(best, (n, step, image_step), key=lambda run: run[0])
        n, step, image_step = best
        yield "{0x%x,%d,%d,0x%x,%d}," % (first, n, step, image, image_step)
        at += n


what = sys.argv[1] if len(sys.argv) > 1 else "classes"
print("/* Made by unicode_make.py from Unicode %s. %s */" % (unicodedata.unidata_version, {
    "classes": "Each row: the class of the code points from here to the next row's.",
    "maps": "See struct mapping."}[what]))
if what == "classes":
    print_rows(class_rows())
else:
    for name, function in (("lower_runs", lower), ("base_runs", base)):
        print("static const struct mapping %s[] = {" % name)
        print_rows(map_rows(function))
        print("};")
