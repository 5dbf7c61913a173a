/* Numbers that are the same on every machine. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "sampler_impl.h"

/* 2^n * e^r with |r| <= ln(2) / 2 and the series of e^r; ln 2 in two parts keeps r exact. */
double exp_same(double x)
{
    static const double inverse[] = {0,      1,      1. / 2, 1. / 3,  1. / 4,  1. / 5,  1. / 6,
                                     1. / 7, 1. / 8, 1. / 9, 1. / 10, 1. / 11, 1. / 12, 1. / 13};
    const double magic = 0x1.8p52; /* adding it rounds to whole numbers */
    if (!(x > -708)) return 0;
    const double rounded = x * 1.4426950408889634 + magic, n = rounded - magic;
    const double r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
    double sum = 1;
    for (int k = 13; k > 0; k--) sum = 1 + sum * (r * inverse[k]);
    uint64_t bits, scaled;
    memcpy(&bits, &rounded, sizeof bits);
    memcpy(&scaled, &sum, sizeof scaled);
    scaled += bits << 52; /* the low bits of rounded are n */
    memcpy(&sum, &scaled, sizeof sum);
    return sum;
}

/* 2^n * m with m near 1, and the series of the area tangent: ln m = 2 artanh((m - 1) / (m + 1)). */
double log2_same(double x)
{
    int n;
    double m = 2 * frexp(x, &n);
    n--;
    if (m > 1.4142135623730951) {
        m /= 2;
        n++;
    }
    const double t = (m - 1) / (m + 1), square = t * t;
    double sum = 0;
    for (int k = 23; k > 0; k -= 2) sum = sum * square + 1. / k;
    return n + 2 * t * sum * 1.4426950408889634;
}

/* splitmix64's finalizer (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

double random_at(uint64_t seed, uint64_t position)
{
    const uint64_t golden = 0x9E3779B97F4A7C15u;
    return (double)(mix(mix(seed + golden) + (position + 1) * golden) >> 11) * 0x1p-53;
}

float to_logit(double x)
{
    if (x > FLT_MAX) return FLT_MAX;
    if (x < -FLT_MAX) return x < -DBL_MAX ? -INFINITY : -FLT_MAX;
    return (float)x;
}
