// A softmax that is summed piece by piece: the largest score so far, and the sum of exp(score -
// most).
struct state { float most, sum; };

const uint GROUP = 256;          // positions a workgroup takes, as in ATTENTION_GROUP
const float LOWEST = -3.0e38;

// exp(score - most), exactly 1 at the top and 0 where it would be too small to matter: no
// denormals.
float weight_of(float score, float most)
{
    float d = score - most;
    return d >= 0.0 ? 1.0 : d < -80.0 ? 0.0 : exp(d);
}

// cap * tanh(score / cap): by exp, which cannot overflow here; near 0, where 1 - e would lose its
// digits, by the series.
float capped(float score, float cap)
{
    float x = score / cap, size = abs(x);
    float e = size > 40.0 ? 0.0 : exp(-2.0 * size), x2 = x * x;
    float far = (1.0 - e) / (1.0 + e), near = size * (1.0 + x2 * (-1.0 / 3.0 + x2 * (2.0 / 15.0 - x2 * (17.0 / 315.0))));
    float t = size < 0.1 ? near : far;
    return cap * (x < 0.0 ? -t : t);
}

// precise: the same bits wherever it is done
vec4 sum_of(vec4 first, float before, vec4 second, float after)
{
    precise vec4 sum = first * before + second * after;
    return sum;
}

// before and after: what the sums of the first and of the second are multiplied with.
state merge(state first, state second, out float before, out float after)
{
    float most = max(first.most, second.most);
    before = weight_of(first.most, most);
    after = weight_of(second.most, most);
    precise float sum = first.sum * before + second.sum * after;
    return state(most, sum);
}
