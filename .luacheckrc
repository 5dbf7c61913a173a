std = "max"
max_line_length = 120
exclude_files = { "lua/library" } -- declarations for editors
