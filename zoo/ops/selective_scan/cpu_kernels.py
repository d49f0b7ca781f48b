"""The CPU backend's compiled loops. A block of WIDE channels is the vector: inner loops run over it, for each state.

Legend: B batch, L length, E channels, N state, S rows of the order, T steps of a row; c channel within a block.
A unit of work is one (sample, block). Arrays arrive flat, with their strides of (sample, position); the channel stride
is 1. Scratch is flat arrays of rows WIDE long: F (per step: dt, u, y ...), Q (per state: A, its gradient, h or its
gradient) and K (states kept within a chunk). So few arrays, with rows at constant distances, are what lets LLVM prove
that the loops are vectors. The exponential is 2^x, with log2(e) folded into A once: exp(dt A) = 2^(dt A2).
The mathematics (exp2, softplus, phi) is at the end of the file: float32 by polynomials that vectorise, float64 by libm.
"""

from __future__ import annotations

import math

import numpy as np
from numba import float32
from numba.extending import overload

from zoo.ops.jit import EXACT, njit, part

WIDE = 64  # channels of a block
CHUNK = 32  # steps between saved states; backward recomputes what lies between

# rows of F
DT, DU, U, SLOPE, Y, DY, GDT, GU, GW, F_ROWS = range(10)
# rows of Q: A2, its gradient, and the state (forward) or the state's gradient (backward)
A_, GA, H, Q_ROWS = range(4)


@njit()
def forward(u, dt, z, B, C, A2, D, bias, order, y, states, strides, sizes, flags, begin, end):
    """y, and the state at the start of every chunk, for units begin..end."""
    _, length, channels, N, S = sizes
    softplus_, zoh, gated, save = flags
    T, blocks = length // S, (channels + WIDE - 1) // WIDE
    chunks = (T + CHUNK - 1) // CHUNK
    F, Q = np.zeros(F_ROWS * WIDE, u.dtype), np.zeros(N * Q_ROWS * WIDE, u.dtype)
    for unit in range(begin, end):
        b, c0 = unit // blocks, unit % blocks * WIDE
        nc = min(WIDE, channels - c0)
        for i in range(F.shape[0]):  # channels beyond the last must not enter a sum
            F[i] = 0
        load_A(Q, A2, c0, nc, N)
        for s in range(S):
            clear(Q, H, N)
            for t in range(T):
                if save and t % CHUNK == 0:
                    put_state(states, ((b * S + s) * chunks + t // CHUNK) * N * channels + c0, channels, Q, nc, N)
                p = order[s * T + t]
                load(F, u, dt, bias, strides, b, p, c0, nc, softplus_, zoh)
                iB, iC = b * strides[6] + p * strides[7], b * strides[8] + p * strides[9]
                advance(F, Q, B[iB : iB + N], C[iC : iC + N], zoh)
                iy = (b * length + p) * channels + c0
                iz = b * strides[4] + p * strides[5] + c0
                store_y(F, D[c0 : c0 + nc], z[iz : iz + nc], y[iy : iy + nc], gated)


@njit()
def backward(
    u, dt, z, B, C, A2, D, bias, order, gy, states, gu, gdt, gz, gA, gB, gC, gD, gbias,
    strides, sizes, flags, begin, end,
):  # fmt: skip
    """All gradients for units begin..end; gA, gD, gbias by sample, gB, gC by block, so that nobody shares a sum."""
    batch, length, channels, N, S = sizes
    softplus_, zoh, gated, _ = flags
    T, blocks = length // S, (channels + WIDE - 1) // WIDE
    chunks = (T + CHUNK - 1) // CHUNK
    F, Q = np.zeros(CHUNK * F_ROWS * WIDE, u.dtype), np.zeros(N * Q_ROWS * WIDE, u.dtype)
    K = np.zeros(N * (CHUNK + 1) * 2 * WIDE, u.dtype)
    for unit in range(begin, end):
        b, block = unit // blocks, unit % blocks
        c0 = block * WIDE
        nc = min(WIDE, channels - c0)
        for i in range(F.shape[0]):
            F[i] = 0
        load_A(Q, A2, c0, nc, N)
        clear(Q, GA, N)
        ie = b * channels + c0
        D_, gD_, gbias_ = D[c0 : c0 + nc], gD[ie : ie + nc], gbias[ie : ie + nc]
        for s in range(S):
            clear(Q, H, N)
            for chunk in range(chunks - 1, -1, -1):
                first = chunk * CHUNK
                steps = min(CHUNK, T - first)
                get_state(states, ((b * S + s) * chunks + chunk) * N * channels + c0, channels, K, nc, N)
                for j in range(steps):
                    p = order[s * T + first + j]
                    f = F[j * F_ROWS * WIDE : (j + 1) * F_ROWS * WIDE]
                    load(f, u, dt, bias, strides, b, p, c0, nc, softplus_, zoh)
                    iB, iC = b * strides[6] + p * strides[7], b * strides[8] + p * strides[9]
                    record(f, Q, K, B[iB : iB + N], C[iC : iC + N], j, zoh, gated)
                for j in range(steps - 1, -1, -1):
                    p = order[s * T + first + j]
                    f = F[j * F_ROWS * WIDE : (j + 1) * F_ROWS * WIDE]
                    i = (b * length + p) * channels + c0
                    iz = b * strides[4] + p * strides[5] + c0
                    load_gy(f, D_, gy[i : i + nc], z[iz : iz + nc], gz[i : i + nc], gD_, gated)
                    iB, iC = b * strides[6] + p * strides[7], b * strides[8] + p * strides[9]
                    o = ((block * batch + b) * length + p) * N
                    reverse(f, Q, K, B[iB : iB + N], C[iC : iC + N], gB[o : o + N], gC[o : o + N], j, zoh)
                    store_gradients(f, D_, gu[i : i + nc], gdt[i : i + nc], gbias_, zoh)
        put_gA(gA, b * N * channels + c0, channels, Q, nc, N)


@part()
def load(f, u, dt, bias, strides, b, p, c0, nc, softplus_, zoh):
    """Row DT (after bias and softplus), U, DU (what multiplies B), SLOPE (d dt / d raw dt); Y starts at 0."""
    iu, idt = b * strides[0] + p * strides[1] + c0, b * strides[2] + p * strides[3] + c0
    u_, dt_, bias_ = u[iu : iu + nc], dt[idt : idt + nc], bias[c0 : c0 + nc]
    if softplus_:
        for c in range(nc):
            x = dt_[c] + bias_[c]
            f[DT * WIDE + c] = softplus(x)
            f[SLOPE * WIDE + c] = sigmoid(x)
    else:
        for c in range(nc):
            f[DT * WIDE + c] = dt_[c] + bias_[c]
            f[SLOPE * WIDE + c] = 1
    for c in range(nc):
        f[U * WIDE + c] = u_[c]
    for c in range(WIDE):
        f[DU * WIDE + c] = f[U * WIDE + c] if zoh else f[DT * WIDE + c] * f[U * WIDE + c]
        f[Y * WIDE + c] = 0


@part()
def advance(f, Q, B, C, zoh):
    """One step: h = a h + w u B, y = sum over n of h C."""
    for n in range(B.shape[0]):
        q, Bn, Cn = Q[n * Q_ROWS * WIDE : (n + 1) * Q_ROWS * WIDE], B[n], C[n]
        if zoh:
            for c in range(WIDE):
                a = exp2(f[DT * WIDE + c] * q[A_ * WIDE + c])
                w = f[DT * WIDE + c] * phi(f[DT * WIDE + c] * q[A_ * WIDE + c], a)
                q[H * WIDE + c] = a * q[H * WIDE + c] + w * f[DU * WIDE + c] * Bn
                f[Y * WIDE + c] += q[H * WIDE + c] * Cn
        else:
            for c in range(WIDE):
                a = exp2(f[DT * WIDE + c] * q[A_ * WIDE + c])
                q[H * WIDE + c] = a * q[H * WIDE + c] + f[DU * WIDE + c] * Bn
                f[Y * WIDE + c] += q[H * WIDE + c] * Cn


@part()
def record(f, Q, K, B, C, j, zoh, gated):
    """`advance` that keeps every h and a: rows of K by (state, step), h before step j at 0, h after it at 2, a at 3."""
    for n in range(B.shape[0]):
        q, Bn, Cn = Q[n * Q_ROWS * WIDE : (n + 1) * Q_ROWS * WIDE], B[n], C[n]
        at = (n * (CHUNK + 1) + j) * 2 * WIDE
        k = K[at : at + 4 * WIDE]
        if zoh:
            for c in range(WIDE):
                a = exp2(f[DT * WIDE + c] * q[A_ * WIDE + c])
                w = f[DT * WIDE + c] * phi(f[DT * WIDE + c] * q[A_ * WIDE + c], a)
                k[3 * WIDE + c] = a
                k[2 * WIDE + c] = a * k[c] + w * f[DU * WIDE + c] * Bn
        else:
            for c in range(WIDE):
                a = exp2(f[DT * WIDE + c] * q[A_ * WIDE + c])
                k[3 * WIDE + c] = a
                k[2 * WIDE + c] = a * k[c] + f[DU * WIDE + c] * Bn
        if gated:  # the gate's gradient is the only one that needs y
            for c in range(WIDE):
                f[Y * WIDE + c] += k[2 * WIDE + c] * Cn


@part()
def reverse(f, Q, K, B, C, gB, gC, j, zoh):
    """One step back: from dL/dy to the gradients; Q's row H carries a dL/dh to the step before."""
    for n in range(B.shape[0]):
        q, Bn, Cn = Q[n * Q_ROWS * WIDE : (n + 1) * Q_ROWS * WIDE], B[n], C[n]
        at = (n * (CHUNK + 1) + j) * 2 * WIDE
        k = K[at : at + 4 * WIDE]
        sum_B = sum_C = f.dtype.type(0)
        if zoh:
            for c in range(WIDE):
                x, a = f[DT * WIDE + c] * q[A_ * WIDE + c], k[3 * WIDE + c]
                g = q[H * WIDE + c] + Cn * f[DY * WIDE + c]
                w, ga, gu = f[DT * WIDE + c] * phi(x, a), g * a, g * f[U * WIDE + c]
                sum_C += f[DY * WIDE + c] * k[2 * WIDE + c]
                sum_B += w * gu
                f[GU * WIDE + c] += w * g * Bn
                f[GDT * WIDE + c] += ga * k[c] * q[A_ * WIDE + c]
                f[GW * WIDE + c] += ga * Bn
                q[GA * WIDE + c] += (ga * k[c] + gu * Bn * f[DT * WIDE + c] * phi_slope(x, a)) * f[DT * WIDE + c]
                q[H * WIDE + c] = ga
        else:
            for c in range(WIDE):
                g = q[H * WIDE + c] + Cn * f[DY * WIDE + c]
                ga = g * k[3 * WIDE + c]
                sum_C += f[DY * WIDE + c] * k[2 * WIDE + c]
                sum_B += f[DU * WIDE + c] * g
                f[GU * WIDE + c] += g * Bn
                f[GDT * WIDE + c] += ga * k[c] * q[A_ * WIDE + c]
                q[GA * WIDE + c] += ga * k[c] * f[DT * WIDE + c]
                q[H * WIDE + c] = ga
        gB[n], gC[n] = sum_B, sum_C


@part()
def store_y(f, D, z, y, gated):
    for c in range(y.shape[0]):
        y[c] = f[Y * WIDE + c] + D[c] * f[U * WIDE + c]
    if gated:
        for c in range(y.shape[0]):
            y[c] *= z[c] * sigmoid(z[c])


@part()
def load_gy(f, D, gy, z, gz, gD, gated):
    """Row DY: dL/dy before the gate; the gate's and D's gradients; the sums of `reverse` start at 0."""
    for c in range(gy.shape[0]):
        f[DY * WIDE + c] = gy[c]
    if gated:
        for c in range(gy.shape[0]):
            s = sigmoid(z[c])
            gz[c] = gy[c] * (f[Y * WIDE + c] + D[c] * f[U * WIDE + c]) * s * (F1 + z[c] * (F1 - s))
            f[DY * WIDE + c] *= z[c] * s
    for c in range(gy.shape[0]):
        gD[c] += f[DY * WIDE + c] * f[U * WIDE + c]
    for c in range(WIDE):
        f[GDT * WIDE + c] = f[GU * WIDE + c] = f[GW * WIDE + c] = 0


@part()
def store_gradients(f, D, gu, gdt, gbias, zoh):
    ln2 = f.dtype.type(LN2)  # A2 = A / ln 2
    for c in range(gu.shape[0]):
        gw = f[GW * WIDE + c] if zoh else f[GU * WIDE + c]
        gdt[c] = (ln2 * f[GDT * WIDE + c] + f[U * WIDE + c] * gw) * f[SLOPE * WIDE + c]
        gbias[c] += gdt[c]
        gu[c] = f[GU * WIDE + c] * (F1 if zoh else f[DT * WIDE + c]) + D[c] * f[DY * WIDE + c]


@part()
def load_A(Q, A2, c0, nc, N):
    for n in range(N):
        for c in range(WIDE):
            Q[(n * Q_ROWS + A_) * WIDE + c] = A2[n, c0 + c] if c < nc else F0


@part()
def clear(Q, row, N):
    for n in range(N):
        for c in range(WIDE):
            Q[(n * Q_ROWS + row) * WIDE + c] = 0


@part()
def put_state(states, at, channels, Q, nc, N):
    for n in range(N):
        for c in range(nc):
            states[at + n * channels + c] = Q[(n * Q_ROWS + H) * WIDE + c]


@part()
def get_state(states, at, channels, K, nc, N):
    for n in range(N):
        for c in range(WIDE):
            K[n * (CHUNK + 1) * 2 * WIDE + c] = states[at + n * channels + c] if c < nc else F0


@part()
def put_gA(gA, at, channels, Q, nc, N):
    for n in range(N):
        for c in range(nc):
            gA[at + n * channels + c] = Q[(n * Q_ROWS + GA) * WIDE + c]


# ---- mathematics; arguments of phi and phi_slope: x = log2(e) dt A and a = 2^x, which the caller has anyway


def exp2(x):
    """2^x."""


def sigmoid(x):
    """1 / (1 + exp(-x))."""


def softplus(x):
    """log(1 + exp(x)), as max(x, 0) + log1p(exp(-|x|))."""


def phi(x, a):
    """(exp(y) - 1) / y at y = x ln 2; 1 at 0."""


def phi_slope(x, a):
    """phi'(y) = (exp(y) - phi(y)) / y; 1/2 at 0."""


f32 = np.float32  # a bare number would make numba compute in float64
LN2, LOG2E = math.log(2), math.log2(math.e)
LN2_32, LOG2E_32 = f32(LN2), f32(LOG2E)
F0, F1, F2, HALF = f32(0), f32(1), f32(2), f32(0.5)
LOW, HIGH = f32(-126), f32(127)
ROUND = f32(1.5 * 2**23)  # adding it leaves the nearest integer in the low bits
# 2^f on [-1/2, 1/2], our fit for the smallest largest relative error: 1.6e-8 with these float32 coefficients
P1, P2, P3, P4, P5, P6 = (
    f32(c) for c in (0.6931472028551632, 0.2402264791361696, 0.055503324709410065,
                     0.009618437358394911, 0.001339887448253859, 0.0001535336186677472)
)  # fmt: skip


@part(EXACT)
def exp2_f32(x):
    x = LOW if x < LOW else x  # written so that a NaN stays
    x = HIGH if x > HIGH else x
    shifted = x + ROUND
    f = x - (shifted - ROUND)
    ff = f * f  # Estrin's scheme: the chain of dependent additions is what takes the time
    p = (F1 + f * P1) + ff * ((P2 + f * P3) + ff * ((P4 + f * P5) + ff * P6))
    k = f32(shifted).view(np.int32) << np.int32(23)  # the integer part goes into the exponent's bits
    return np.int32(f32(p).view(np.int32) + k).view(np.float32)


# coefficients by name: numba would build a tuple anew at every use
L1, L3, L5, L7, L9, L11, L13, L15 = (f32(2 / k) for k in range(1, 16, 2))  # 2 atanh(s)
E0, E1, E2, E3, E4, E5, E6, E7 = (f32(1 / math.factorial(k + 1)) for k in range(8))  # phi
S0, S1, S2, S3, S4, S5, S6, S7, S8, S9 = (f32(k / math.factorial(k + 1)) for k in range(1, 11))  # phi'
INVERSE_FACTORIAL = np.array([1 / math.factorial(k) for k in range(16)])


@part()
def sigmoid_f32(x):
    return F1 / (F1 + exp2_f32(-x * LOG2E_32))


@part()
def softplus_f32(x):
    e = exp2_f32(-abs(x) * LOG2E_32)
    s = e / (F2 + e)  # log1p(e) = 2 atanh(s), s <= 1/3
    q = s * s
    log1p = s * (L1 + q * (L3 + q * (L5 + q * (L7 + q * (L9 + q * (L11 + q * (L13 + q * L15)))))))
    return (x if x > F0 else F0) + log1p


@part()
def phi_f32(x, a):
    y = x * LN2_32
    series = E0 + y * (E1 + y * (E2 + y * (E3 + y * (E4 + y * (E5 + y * (E6 + y * E7))))))
    return series if abs(y) < HALF else (a - F1) / y


@part()
def phi_slope_f32(x, a):
    y = x * LN2_32
    series = S0 + y * (S1 + y * (S2 + y * (S3 + y * (S4 + y * (S5 + y * (S6 + y * (S7 + y * (S8 + y * S9))))))))
    return series if abs(y) < F1 else (a - (a - F1) / y) / y


@part()
def sigmoid_f64(x):
    return 1 / (1 + math.exp(-x))


@part()
def softplus_f64(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@part()
def phi_f64(x, a):
    y = x * LN2
    return math.expm1(y) / y if y != 0 else 1.0


@part()
def phi_slope_f64(x, a):
    y = x * LN2
    if abs(y) >= 0.3:
        return (a - math.expm1(y) / y) / y
    p = 0.0
    for k in range(14, 0, -1):  # sum of k y^(k-1) / (k+1)!, inside out
        p = p * y + k * INVERSE_FACTORIAL[k + 1]
    return p


@overload(exp2)
def _exp2(x):
    return (lambda x: exp2_f32(x)) if x == float32 else (lambda x: np.exp2(x))


@overload(sigmoid)
def _sigmoid(x):
    return (lambda x: sigmoid_f32(x)) if x == float32 else (lambda x: sigmoid_f64(x))


@overload(softplus)
def _softplus(x):
    return (lambda x: softplus_f32(x)) if x == float32 else (lambda x: softplus_f64(x))


@overload(phi)
def _phi(x, a):
    return (lambda x, a: phi_f32(x, a)) if x == float32 else (lambda x, a: phi_f64(x, a))


@overload(phi_slope)
def _phi_slope(x, a):
    return (lambda x, a: phi_slope_f32(x, a)) if x == float32 else (lambda x, a: phi_slope_f64(x, a))
