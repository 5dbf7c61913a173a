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

// exp(v) - 1, v <= 0; near 0 by its series
vec4 exp_less_one(vec4 v)
{
    vec4 series = v * (1.0 + v * (0.5 + v * (1.0 / 6.0 + v * (1.0 / 24.0 + v * (1.0 / 120.0 + v / 720.0)))));
    return mix(exp(v) - 1.0, series, greaterThan(v, vec4(-0.25)));
}

vec4 xielu(vec4 v)
{
    vec4 above = ACT(1) * v * v + ACT(2) * v;
    vec4 below = (exp_less_one(min(v, vec4(min(ACT(3), 0.0)))) - v) * ACT(0) + ACT(2) * v;
    return mix(below, above, greaterThan(v, vec4(0.0)));
}

// tanh, near 0 by its series
vec4 softcap(vec4 v)
{
    vec4 u = v / ACT(0), s = u * u, series = u * (1.0 - s * (1.0 / 3.0 - s * (2.0 / 15.0 - s * (17.0 / 315.0))));
    vec4 far = 1.0 - 2.0 / (exp(min(2.0 * u, vec4(80.0))) + 1.0);
    return ACT(0) * mix(far, series, lessThan(s, vec4(0.04)));
}

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
