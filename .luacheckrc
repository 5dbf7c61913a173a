std = "min"
max_line_length = 140
files["lua/library"] = { ignore = { "111", "112", "113", "121", "131", "211", "212", "241", "631" } }
files["tests"] = { std = "max" }
files["lua/parts.lua"] = { std = "min" }
