"""Golden values of the linear probe (tests/probe.rs): numpy 2, scipy 1. Features sin(1 + i (j + 1)) for 30 rows and 4 columns, classes
i^2 % 3, standardised with the divisor N; mean cross-entropy + strength / 2 |W|^2 by Newton's method on all parameters, biases with
sum 0; ridge regression by the normal equations."""
import numpy as np

i, j = np.arange(30)[:, None], np.arange(4)[None]
x, y, k = np.sin(1 + i * (j + 1)), (np.arange(30) ** 2 + np.arange(30) // 7) % 3, 3
x = (x - x.mean(0)) / x.std(0)
n, d = x.shape
X, Y = np.hstack([x, np.ones((n, 1))]), np.eye(k)[y]
for strength in (1e-3, 1e-1):
    penalty = np.diag(np.tile(np.r_[np.full(d, strength), 0.0], k))
    t = np.zeros(k * (d + 1))
    for _ in range(50):
        z = X @ t.reshape(k, d + 1).T
        p = np.exp(z - z.max(1, keepdims=True)); p /= p.sum(1, keepdims=True)
        g = ((p - Y).T @ X / n).ravel() + penalty @ t
        h = penalty.copy()
        for a in range(k):
            for b in range(k):
                h[a * (d + 1) : (a + 1) * (d + 1), b * (d + 1) : (b + 1) * (d + 1)] += X.T @ (X * (p[:, a] * ((a == b) - p[:, b]))[:, None]) / n
        t -= np.linalg.lstsq(h, g, rcond=1e-13)[0]
    w = t.reshape(k, d + 1)
    loss = -np.log(p[np.arange(n), y]).mean() + 0.5 * strength * (w[:, :d] ** 2).sum()
    logits = X @ w.T
    print(f"logistic {strength}: loss {loss:.12f} |g| {np.linalg.norm(g):.1e} logits of rows 0 and 7", np.round(logits[[0, 7]], 9).tolist())
    c = Y - Y.mean(0)
    W = np.linalg.solve(x.T @ x / n + strength * np.eye(d), x.T @ c / n)
    print(f"ridge {strength}: loss {((x @ W - c) ** 2).sum() / (2 * n) + 0.5 * strength * (W ** 2).sum():.12f} rows 0 and 7", np.round(x[[0, 7]] @ W + Y.mean(0), 9).tolist())
