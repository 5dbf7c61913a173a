/* activation.h - what is applied to each value of a product (shaders/activation.glsl has the
 * formulas). Pure. */
#ifndef ACTIVATION_H
#define ACTIVATION_H

enum activation_kind {
    ACTIVATION_NONE,
    ACTIVATION_SILU,
    ACTIVATION_GELU,        /* by tanh */
    ACTIVATION_GELU_ERF,    /* exact */
    ACTIVATION_RELU2,       /* squared */
    ACTIVATION_XIELU,       /* a: alpha of what is below 0, alpha of what is above, beta, epsilon
                               (Huang, Schlag 2024, arXiv:2411.13010) */
    ACTIVATION_SOFTCAP,     /* a[0] tanh(v / a[0]) */
    ACTIVATION_SILU_CLAMPED /* of the gate of experts alone: gpt-oss */
};

struct activation {
    enum activation_kind kind;
    float a[4];
};

#endif
