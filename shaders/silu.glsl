vec4 silu(vec4 v) { return v / (1.0 + exp(-max(v, vec4(-80.0)))); }
