// What is applied to products: enum activation_kind. Wants the constant ACTIVATION and its numbers in
// ACT(i). Of exp(x), x is bounded where infinity would become NaN.
const int SILU = 1, GELU = 2, GELU_ERF = 3, RELU2 = 4, XIELU = 5, SOFTCAP = 6;

#include "silu.glsl"

// v / 2 (1 + tanh u), u = sqrt(2 / pi) (v + 0.044715 v^3), is v / (1 + exp(-2u))
vec4 gelu(vec4 v)
{
    vec4 u = 1.5957691216057308 * v * (1.0 + 0.044715 * v * v);
    return v / (1.0 + exp(-max(u, vec4(-80.0))));
}

// v / 2 (1 + erf(v / sqrt 2)) with erf as in Abramowitz and Stegun, 7.1.26, to 1.5e-7
vec4 gelu_erf(vec4 v)
{
    vec4 x = min(abs(v) * 0.7071067811865476, vec4(9.0)), t = 1.0 / (1.0 + 0.3275911 * x);
    vec4 p = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    vec4 tail = 0.5 * p * exp(-x * x); // 1 - the normal distribution of |v|
    return v * mix(1.0 - tail, tail, lessThan(v, vec4(0.0)));
}

vec4 xielu(vec4 v)
{
    vec4 above = ACT(1) * v * v + ACT(2) * v;
    vec4 below = (exp(min(v, vec4(ACT(3)))) - 1.0 - v) * ACT(0) + ACT(2) * v;
    return mix(below, above, greaterThan(v, vec4(0.0)));
}

vec4 softcap(vec4 v) { return ACT(0) * (1.0 - 2.0 / (exp(min(2.0 * v / ACT(0), vec4(80.0))) + 1.0)); }

vec4 activate(vec4 v)
{
    if (ACTIVATION == SILU) return silu(v);
    if (ACTIVATION == GELU) return gelu(v);
    if (ACTIVATION == GELU_ERF) return gelu_erf(v);
    if (ACTIVATION == RELU2) return max(v, vec4(0.0)) * max(v, vec4(0.0));
    if (ACTIVATION == XIELU) return xielu(v);
    if (ACTIVATION == SOFTCAP) return softcap(v);
    return v;
}
