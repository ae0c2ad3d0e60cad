"""The frozen loss of a network with one hidden layer, in balls around one point."""

from functools import cached_property

from pscore.exact.balls import arb, arb_mat, dot, float_matrix
from pscore.exact.problem import Critical


class Point:
    """The loss beside a float point, its derivatives and its slopes at the kinks, in balls.

    Args:
        found: the point, its switches and its kinks.
        radius: of the ball around it whose every point is enclosed; 0 for the point itself.
        a: the inputs, exactly.

    Attributes:
        z: the units' inputs, ``(N, n)``.
        e: the residuals, rows of o.
        v: the weights behind the units, rows of o.
    """

    def __init__(self, found: Critical, radius: float, a: arb_mat) -> None:
        """Compute units' inputs and residuals."""
        self.problem, self.found = found.problem, found
        self.N = len(self.problem.a)
        W, V = self.problem.split(found.x)
        self.a = a
        self.W, self.V = float_matrix(W, radius), float_matrix(V, radius)
        self.S = [[arb(float(one)) for one in row] for row in self.problem.gains(found.on)]
        self.z = self.a * self.W
        rows = zip(self.S, self.z.tolist(), strict=True)
        self.h = arb_mat([[s * z for s, z in zip(*row, strict=True)] for row in rows])
        self.e = (self.h * self.V - float_matrix(self.problem.f)).tolist()
        self.v = self.V.tolist()

    @cached_property
    def jacobian(self) -> arb_mat:
        """The outputs' derivatives, a row for each data point and output, ``(N o, m)``."""
        _, _, n, o, _ = self.problem.sizes
        a, h, zero = self.a.tolist(), self.h.tolist(), arb(0)
        rows = []
        for i in range(self.N):
            for k in range(o):
                gain = [s * self.v[j][k] if s != 0 else zero for j, s in enumerate(self.S[i])]
                first = [one * g if g != 0 else zero for one in a[i] for g in gain]
                second = [h[i][j] if u == k else zero for j in range(n) for u in range(o)]
                rows.append(first + second)
        return arb_mat(rows)

    @cached_property
    def squares(self) -> arb_mat:
        """``JᵀJ``."""
        return self.jacobian.transpose() * self.jacobian

    @cached_property
    def gradient(self) -> list[arb]:
        """The gradient of the frozen loss."""
        x = [*self.W.entries(), *self.V.entries()]
        pull = self.jacobian.transpose() * arb_mat([[one] for row in self.e for one in row])
        decay = arb(self.problem.decay)
        return [g / self.N + decay * one for g, one in zip(pull.entries(), x, strict=True)]

    @cached_property
    def mixed(self) -> list[list[list[arb]]]:
        """The derivatives by w_pj and v_jo, the only second ones of an output: p, j, o."""
        _, d, n, o, _ = self.problem.sizes
        found = []
        for k in range(o):
            e = arb_mat(
                [[row[k] * s / self.N for s in S] for row, S in zip(self.e, self.S, strict=True)]
            )
            found.append((self.a.transpose() * e).tolist())
        return [[[found[k][p][j] for k in range(o)] for j in range(n)] for p in range(d)]

    def hessian(self, share: arb, more: arb) -> list[list[arb]]:
        """The frozen Hessian with its squares times ``share``, plus ``more`` on the diagonal."""
        _, d, n, o, m = self.problem.sizes
        rows = (share / self.N * self.squares).tolist()
        for p in range(d):
            for j in range(n):
                for k in range(o):
                    s, t, one = p * n + j, d * n + j * o + k, self.mixed[p][j][k]
                    rows[s][t] += one
                    rows[t][s] += one
        for i in range(m):
            rows[i][i] += arb(self.problem.decay) + more
        return rows

    @cached_property
    def slopes(self) -> list[arb]:
        """Enclosures of ``c_k``."""
        factor = (1 - arb(self.problem.slope)) / self.N
        return [factor * dot(self.e[i], self.v[j]) for i, j in self.found.kinks]

    def loss(self) -> arb:
        """An enclosure of the regularised loss."""
        squares = dot([x for row in self.e for x in row], [x for row in self.e for x in row])
        x = [*self.W.entries(), *self.V.entries()]
        return squares / (2 * self.N) + arb(self.problem.decay) / 2 * dot(x, x)

    def kinks(self, share: arb) -> tuple[list[list[arb]], list[list[arb]]]:
        """The form's entries in weights and t, ``(m, K)``, and in t alone, ``(K, K)``."""
        _, d, n, o, m = self.problem.sizes
        pairs, less = self.found.kinks, 1 - arb(self.problem.slope)
        if not pairs:
            return [[] for _ in range(m)], []
        reach = [[arb(0)] * len(pairs) for _ in range(self.N * o)]
        for k, (i, j) in enumerate(pairs):
            for u in range(o):
                reach[i * o + u][k] = less * self.v[j][u]
        out = arb_mat(reach)
        part, J = share / self.N, self.jacobian
        cross = (part * (J.transpose() * out)).tolist()
        among = (part * (out.transpose() * out)).tolist()
        for k, (i, j) in enumerate(pairs):
            for u in range(o):
                cross[d * n + j * o + u][k] += less * self.e[i][u] / self.N
        return cross, among
