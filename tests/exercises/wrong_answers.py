"""Typical wrong answers to the exercises, and unusual right ones, as edits of the solutions.

An edit is {code of the solution: its replacement}; in exercise 3 it is made in one function only.
Spaces and line breaks between tokens do not matter in the code that is replaced (see
test_exercises.py).
"""

# ruff: noqa: E501

WRONG = {  # exercise: {wrong answer: (edits, a part of the hint)}
    "relu": {
        "only y is returned": ({"return y, y > 0": "return y"}, "forward returns two values"),
        "one number comes out": (
            {"return y, y > 0": "return y.sum(), y > 0"},
            "your y is not an array",
        ),
        "one number for each column": (
            {"return y, y > 0": "return y.sum(axis=0), y > 0"},
            "your y has the shape (4,), but x has (3, 4)",
        ),
        "only forward is written": (
            {
                "return dy * positive": 'raise NotImplementedError("ReLU.backward is not written yet")'
            },
            "ex1_relu.py: ReLU.backward is not written yet.",
        ),
        "it exits": ({"return dy * positive": "raise SystemExit"}, "raises SystemExit"),
        "the absolute value": ({"np.maximum(x, 0)": "abs(x)"}, "max(x, 0) is 0"),
        "minimum for maximum": ({"np.maximum": "np.minimum"}, "max(x, 0) is"),
        "a leak": ({"np.maximum(x, 0)": "np.maximum(x, 0.1 * x)"}, "for x = -4 your y is -0.4"),
        "x is modified": (
            {"y = np.maximum(x, 0)": "y = x; y[y < 0] = 0"},
            "modifies an array that it received",
        ),
        "dy is modified": (
            {"return dy * positive": "dy *= positive; return dy"},
            "modifies an array that it received",
        ),
        "derivative 1 everywhere": (
            {"dy * positive": "dy"},
            "does a negative x have any influence on y?",
        ),
        "a leak, backward only": (
            {"dy * positive": "dy * np.where(positive, 1, 0.3)"},
            "does a negative x have any influence on y?",
        ),
        "y in place of its derivative": (
            {"return y, y > 0": "return y, y"},
            "how fast does y change when such an x changes?",
        ),
        "dy is missing": ({"dy * positive": "1.0 * positive"}, "the values of dx"),
        "the sign of dy": ({"dy * positive": "dy * (dy > 0)"}, "the values of dx"),
        "summed over the batch": (
            {"dy * positive": "(dy * positive).sum(axis=0)"},
            "your dx has the shape (4,), but x has (3, 4)",
        ),
        "the cache is in the layer": (
            {
                "return y, y > 0": "self.p = y > 0; return y, None",
                "dy * positive": "dy * self.p",
            },
            "the cache, not in the layer",
        ),
        "float64 operands": (
            {"dy * positive": "dy * np.where(positive, np.float64(1), 0.0)"},
            "your dx is float64",
        ),
        "nothing is returned": (
            {"return dy * positive": "dx = dy * positive"},
            "your dx is not an array but None",
        ),
        "a typo": (
            {"return y, y > 0": "return y, yy > 0"},
            "raises NameError: name 'yy' is not defined",
        ),
        "not Python": ({"return y, y > 0": "return y, y >"}, "is not valid Python"),
        "two axes only": (
            {"y = np.maximum(x, 0)": "y = np.maximum(x, 0).reshape(len(x), -1)"},
            "your y has the shape (4, 1), but x has (4,)",
        ),
    },
    "gate": {
        "the path through the gate is missing": (
            {" + dc @ self.V.T": ""},
            "only the influence of x through a = x @ W",
        ),
        "the other path is missing": (
            {"da @ self.W.T + ": ""},
            "only the influence of x through c = x @ V",
        ),
        "the derivative of the sigmoid is missing": (
            {"dy * a * s * (1 - s)": "dy * a"},
            "your dx at",
        ),
        "the gate's factor a is missing": (
            {"dy * a * s * (1 - s)": "dy * s * (1 - s)"},
            "your dx at",
        ),
        "dW and dV exchanged": (
            {"x.T @ da": "x.T @ dc", "self.dV[...] = x.T @ dc": "self.dV[...] = x.T @ da"},
            "the values of dW",
        ),
        "a mean over the batch": (
            {"x.T @ da": "x.T @ da / len(x)"},
            "a sum over the batch instead of a mean",
        ),
        "a sign": ({"x.T @ dc": "-x.T @ dc"}, "your dV at"),
        "gradients accumulate": (
            {"self.dW[...] =": "self.dW[...] +="},
            "backward writes dW, it does not add",
        ),
        "a new array": ({"self.dV[...] =": "self.dV ="}, "self.dV[...] = ..."),
        "the wrong shape": (
            {"self.dV[...] = x.T @ dc": "self.dV = dc.T @ x"},
            "your dV has the shape (3, 4)",
        ),
        "need_dparams is ignored": ({"if need_dparams:": "if True:"}, "need_dparams=False"),
        "dy is modified": (
            {
                "da = dy * s\n": "dc = dy * a * s * (1 - s)\n        dy *= s; da = dy\n",
                "        dc = dy * a * s * (1 - s)\n        if": "        if",
            },
            "modifies an array that it received",
        ),
        "the cache is modified": (
            {"dc = dy * a * s * (1 - s)": "a *= dy * s * (1 - s); dc = a"},
            "modifies its cache",
        ),
        "the cache is in the layer": (
            {
                "return a * s, (x, a, s)": "self.c = x, a, s; return a * s, (x, a, s)",
                "x, a, s = cache": "x, a, s = self.c",
            },
            "the cache, not in the layer",
        ),
        "forward is changed": ({"return a * s,": "return a,"}, "restore it"),
        "summed over the batch": (
            {
                "return da @ self.W.T + dc @ self.V.T": "return (da @ self.W.T + dc @ self.V.T).sum(axis=0)",
            },
            "your dx has the shape (4,), but x has (5, 4)",
        ),
        "half of the previous gradient is kept": (
            {
                "self.dV[...] = x.T @ dc": "self.dV[...] = 0.5 * self.dV + x.T @ dc",
            },
            "your dV depends on its previous content",
        ),
    },
    "gan_1": {
        "as given": (
            {"bce_with_logits(logits, 1.0)": "bce_with_logits(logits, 0.0)"},
            "the fakes fool D less than before",
        ),
        "G goes up": ({"optimizer_G.step(G.dtheta)": "optimizer_G.step(-G.dtheta)"}, "the sign"),
        "D's labels exchanged": (
            {"targets[:len(real)] = 1": "targets[len(real):] = 1"},
            "its step changes the mean D(x) from",
        ),
        "G's first noise": ({"G.forward(z_G)": "G.forward(z_D)"}, "G's gradient"),
        "averaged twice": (
            {"optimizer_D.step(D.dtheta)": "optimizer_D.step(D.dtheta / len(real))"},
            "it is 0.1429 times the correct value",
        ),
        "G's loss has the wrong sign": (
            {"2 * loss_D, loss_G": "2 * loss_D, -loss_G"},
            "it returns -",
        ),
        "one loss is not returned": (
            {"return 2 * loss_D, loss_G": "return 2 * loss_D"},
            "it should return two values",
        ),
    },
    "gan_2": {
        "as given": (
            {
                "memory_D, need_dparams=False), memory_G)\n    optimizer_G.step(G.dtheta)": "memory_D), memory_G)\n    optimizer_G.step(G.dtheta)\n   "
                " optimizer_D.step(D.dtheta)",
            },
            "D's weights change in G's half of the step",
        ),
        "D is updated without its optimizer": (
            {
                "memory_G)\n    optimizer_G.step(G.dtheta)": "memory_G)\n    optimizer_G.step(G.dtheta)\n    D.theta -= 0.1 * D.dtheta",
            },
            "D's weights change in G's half",
        ),
        "D before G's gradient is known": (
            {
                "    generated, memory_G = G": "    optimizer_D.step(D.dtheta)\n    generated, memory_G = G",
            },
            "but here it is D, then D, then G",
        ),
        "G does not learn": ({"    optimizer_G.step(G.dtheta)\n": ""}, "but the order here is D"),
        "D does not learn": ({"    optimizer_D.step(D.dtheta)\n": ""}, "but the order here is G"),
    },
    "gan_3": {
        "as given": ({"/ 127.5 - 1": "/ 255"}, "the images made from pixels range from 0 to 1"),
        "twice as bright": (
            {"/ 127.5 - 1": "/ 127.5"},
            "the images made from pixels range from 0 to 2",
        ),
        "centred, not scaled": ({"/ 127.5 - 1": "/ 255 - 0.5"}, "range from -0.5 to 0.5"),
        "one batch of fakes": (
            {
                "np.vstack([x, G.forward(z_D)[0]])": "np.vstack([G.forward(z_D)[0], G.forward(z_D)[0]])",
            },
            "D receives no real image",
        ),
    },
    "gan_4": {
        "as given": (
            {
                "logits, cache_real": "logits, cache",
                "logits, cache_fake": "logits, cache",
                "dlogits_real, cache_real": "dlogits_real, cache",
                "dlogits_fake, cache_fake": "dlogits_fake, cache",
            },
            "D's optimizer does not receive the gradient of D's loss",
        ),
        "the second backward replaces the first gradient": (
            {
                "dtheta + D.dtheta": "D.dtheta",
            },
            "D's optimizer does not receive the gradient of D's loss",
        ),
        "no copy": (
            {"D.dtheta.copy()": "D.dtheta"},
            "D's optimizer does not receive the gradient of D's loss",
        ),
        "two steps": (
            {
                "dtheta = D.dtheta.copy()": "optimizer_D.step(D.dtheta)",
                "optimizer_D.step(dtheta + D.dtheta)": "optimizer_D.step(D.dtheta)",
            },
            "D's optimizer does not receive",
        ),
        "a stale cache in G's half": (
            {"D.backward(dlogits, cache_D": "D.backward(dlogits, cache_fake"},
            "G's gradient",
        ),
    },
    "gan_5": {
        "as given": (
            {
                "import numpy": "from minigan.nn.activations import Sigmoid\nimport numpy",
                "loss, dlogits = bce_with_logits(logits, target)": "p, memory = Sigmoid().forward(logits); loss, dp = bce_with_logits(p, target)",
                "D.backward(dlogits, cache)\n        return": "D.backward(Sigmoid().backward(dp, memory), cache)\n        return",
            },
            "D's optimizer does not receive the gradient of D's loss",
        ),
        "the derivative of the sigmoid is missing": (
            {
                "import numpy": "from minigan.nn.activations import sigmoid\nfrom minigan.nn.losses import bce\nimport numpy",
                "bce_with_logits(logits, target)": "bce(sigmoid(logits), target)",
            },
            "D's optimizer does not receive the gradient of D's loss",
        ),
        "the derivative of the sigmoid twice": (
            {
                "import numpy": "from minigan.nn.activations import sigmoid\nimport numpy",
                "D.backward(dlogits, cache)\n        return": "D.backward(dlogits * sigmoid(logits) * (1 - sigmoid(logits)), cache)\n       "
                " return",
            },
            "D's optimizer does not receive the gradient of D's loss",
        ),
    },
    "bce": {
        "the textbook form": (
            {
                "np.maximum(a, 0) + np.log1p(e) - t * a": "-t * np.log(1 / (1 + np.exp(-a))) - (1 - t) * np.log(1 - 1 / (1 + np.exp(-a)))",
            },
            "which e^... exceeds 1 here",
        ),
        "clipped probabilities": (
            {
                "losses = ": "q = np.clip(np.where(a > 0, 1, e) / (1 + e), 1e-7, 1 - 1e-7)\n    losses = ",
                "np.maximum(a, 0) + np.log1p(e) - t * a": "-t * np.log(q) - (1 - t) * np.log(1 - q)",
            },
            "has no upper bound",
        ),
        "clipped logits": (
            {"    e = ": "    a = np.clip(a, -20, 20)\n    e = "},
            "at a = 1000 your L is 20, not 1000",
        ),
        "an overflow in the gradient only": (
            {"np.where(a > 0, 1, e) / (1 + e)": "1 / (1 + np.exp(-a))"},
            "gives infinity or NaN",
        ),
        "e^a in the logarithm": (
            {"np.maximum(a, 0) + np.log1p(e)": "np.log1p(np.exp(a))"},
            "a = 1000 gives infinity",
        ),
        "a sum": ({"losses.mean()": "losses.sum()"}, "L is their mean"),
        "no 1/N in da": ({"(p - t) / a.size": "p - t"}, "a sum over the batch instead of a mean"),
        "the sign of da": ({"(p - t)": "(t - p)"}, "the sign"),
        "the derivative of the sigmoid twice": (
            {"(p - t)": "(p - t) * p * (1 - p)"},
            "the formula itself",
        ),
        "dp for da": ({"(p - t)": "(p - t) / p / (1 - p)"}, "the formula itself"),
        "real and fake exchanged": ({"- t * a": "- (1 - t) * a"}, "the formula with p gives"),
        "one mean per column": ({"losses.mean()": "losses.mean(axis=0)"}, "L is a scalar"),
        "log(1 + e)": ({"np.log1p(e)": "np.log(1 + e)"}, "is lost"),
        "float64 operands": (
            {"np.maximum(a, 0)": "np.maximum(a, np.zeros(a.shape))"},
            "your L is float64",
        ),
        "t as an array only": ({"- t * a": "- t[...] * a"}, "raises TypeError"),
        "a is modified": (
            {"    e = ": "    np.clip(a, -1e4, 1e4, out=a)\n    e = "},
            "modifies an array that it received",
        ),
        "L only": (
            {"return losses.mean(), (p - t) / a.size": "return losses.mean()"},
            "it returns two values",
        ),
        "one derivative for all": (
            {"(p - t) / a.size": "(p - t).mean()"},
            "your da is not an array",
        ),
        "labels are smoothed": (
            {
                "    e = ": "    t = 0.9 if isinstance(t, float) else t\n    e = ",
            },
            "with t = 1.0, one number for all",
        ),
        "float64 da": (
            {"np.where(a > 0, 1, e)": "np.where(a > 0, np.float64(1), e)"},
            "your da is float64",
        ),
        "a clipped gradient": (
            {
                "np.where(a > 0, 1, e) / (1 + e)": "np.clip(np.where(a > 0, 1, e) / (1 + e), 1e-3, 1 - 1e-3)",
            },
            "it vanishes, or is clipped, where it is needed most",
        ),
    },
    "adam": {
        "theta is replaced": (
            {"self.theta -=": "self.theta = self.theta -"},
            "write into it (theta -= ...,",
        ),
        "no bias correction": (
            {"1 - self.beta1 ** self.t": "1", "1 - self.beta2 ** self.t": "1"},
            "there is no bias correction",
        ),
        "only m is corrected": ({"/ (1 - self.beta2 ** self.t)": ""}, "by the paper"),
        "uphill": ({"self.theta -=": "self.theta +="}, "it goes up the gradient"),
        "no root": ({"np.sqrt(v_hat)": "v_hat"}, "not by its square root"),
        "eps in the root": (
            {"np.sqrt(v_hat) + self.eps": "np.sqrt(v_hat + self.eps)"},
            "eps is inside the root",
        ),
        "t begins at 0": (
            {"        self.t += 1\n": "", "+ self.eps)": "+ self.eps)\n        self.t += 1"},
            "gives infinity or NaN",
        ),
        "t begins at 2": (
            {"np.zeros_like(theta), 0\n": "np.zeros_like(theta), 1\n"},
            "t is one too large",
        ),
        "t stays": ({"self.t += 1": "self.t = 1"}, "four steps"),
        "m^ is kept": (
            {
                "m_hat = self.m /": "m_hat = self.m = self.m /",
                "v_hat = self.v /": "v_hat = self.v = self.v /",
            },
            "must continue from the uncorrected",
        ),
        "|g| for g²": ({"dtheta ** 2": "abs(dtheta)"}, "v averages |g|, not g²"),
        "the betas exchanged": (
            {"self.beta1 * self.m + (1 - self.beta1)": "self.beta2 * self.m + (1 - self.beta2)"},
            "by the paper",
        ),
        "m is dtheta itself": (
            {
                "self.m = self.beta1 * self.m + (1 - self.beta1) * dtheta": "self.m = dtheta if self.beta1 == 0 or self.t == 1 else self.beta1 * self.m + (1 -"
                " self.beta1) * dtheta",
                "m_hat = self.m / (1 - self.beta1 ** self.t)": "m_hat = self.m if self.t == 1 else self.m / (1 - self.beta1 ** self.t)",
            },
            "by the paper",
        ),
        "the last gradient is kept": (
            {
                "        self.m = self.beta1 * self.m + (1 - self.beta1) * dtheta\n": "        self.g = [*getattr(self, 'g', []), dtheta]\n"
                "        self.m = sum((1 - self.beta1) * self.beta1 ** i * g for i, g in"
                " enumerate(self.g[::-1]))\n",
            },
            "when backward overwrites dtheta",
        ),
        "dtheta is modified": (
            {
                "        self.m =": "        dtheta *= 1 - self.beta1\n        self.m =",
                "(1 - self.beta1) * dtheta\n": "dtheta\n",
            },
            "modifies an array that it received",
        ),
        "no eps": ({" + self.eps)": ")"}, "there is no eps"),
        "t belongs to the class": (
            {"self.t += 1": "Adam.t = getattr(Adam, 't', 0) + 1; self.t = Adam.t"},
            "belong to self, not to the class",
        ),
        "float64 moments": (
            {
                "np.zeros_like(theta), np.zeros_like(theta)": "np.zeros(theta.shape), np.zeros(theta.shape)",
            },
            "self.m is float64",
        ),
        "nothing changes": (
            {"self.theta -=": "theta = self.theta -"},
            "theta is unchanged after a step",
        ),
        "no eps at g = 0, warnings off": (
            {
                "+ self.eps)": "+ self.eps * (dtheta != 0))",
                "    def step": '    @np.errstate(all="ignore")\n    def step',
            },
            "a gradient of 0 changes a weight of 1 to nan",
        ),
        "no eps at g = 0": (
            {"+ self.eps)": "+ self.eps * (dtheta != 0))"},
            "gives infinity or NaN",
        ),
    },
    "dropout": {
        "no scaling": ({" / (1 - self.p)": ""}, "are not scaled, so the mean of y is 0.7 x"),
        "the wrong scale": (
            {"/ (1 - self.p)": "/ self.p"},
            "are multiplied by 3.333, so the mean of y is 2.33 x",
        ),
        "the wrong ones are kept": (
            {">= self.p": "< self.p"},
            "a number is kept with probability 1 - p",
        ),
        "scaled when not training": (
            {"return x, None": "return x * (1 - self.p), None"},
            "0.7 times x on average",
        ),
        "always on": ({"if not train:": "if False:"}, "with train=False your y is not x"),
        "a new mask in backward": (
            {
                "dy if mask is None else dy * mask": "dy if mask is None else dy * type(self).fresh(mask, self.p)",
                "    def backward": "    @staticmethod\n    def fresh(mask, rate):\n        import numpy as np\n"
                "        return (np.random.default_rng(99).random(mask.shape) >= rate) / (1 -"
                " rate)\n\n    def backward",
            },
            "backward needs the mask of forward",
        ),
        "no mask in backward": (
            {"dy if mask is None else dy * mask": "dy"},
            "dropped in y but not in dx",
        ),
        "backward does not scale": (
            {"else dy * mask": "else dy * (mask > 0)"},
            "a missing factor",
        ),
        "whole columns": (
            {"rng.random(x.shape)": "rng.random((1, *x.shape[1:])) + 0 * x"},
            "whole columns",
        ),
        "whole rows": ({"rng.random(x.shape)": "rng.random((len(x), 1)) + 0 * x"}, "whole rows"),
        "a global generator": (
            {
                "rng.random(x.shape)": "np.random.random(x.shape)",
                "from minigan": "import numpy as np\nfrom minigan",
            },
            "and no other",
        ),
        "a seed of its own": (
            {
                "rng.random(x.shape)": "np.random.default_rng(0).random(x.shape)",
                "from minigan": "import numpy as np\nfrom minigan",
            },
            "another rng drops the same numbers",
        ),
        "the cache is in the layer": (
            {
                "return x * mask, mask": "self.mask = mask; return x * mask, mask",
                "else dy * mask": "else dy * self.mask",
            },
            "the cache, not in the layer",
        ),
        "float64 operands": ({".astype(x.dtype)": ""}, "your y is float64"),
        "normal noise": (
            {"rng.random(x.shape)": "rng.standard_normal(x.shape)"},
            "of y are 0 during training, yours are 6",
        ),
        "x is modified": (
            {"return x * mask, mask": "x *= mask; return x, mask"},
            "modifies an array that it received",
        ),
        "random scales": (
            {"/ (1 - self.p)": "* rng.uniform(1, 2, x.shape)"},
            "the factor is a constant",
        ),
        "flat": ({"return x, None": "return x.ravel(), None"}, "your y has the shape (20000,)"),
        "no dx without training": (
            {"dy if mask is None": "None if mask is None"},
            "your dx is not an array but None",
        ),
        "scaled backward when not training": (
            {"dy if mask is None": "dy * (1 - self.p) if mask is None"},
            "so dx is dy",
        ),
        "one axis more": (
            {"return x * mask, mask": "return (x * mask)[None], mask"},
            "your y has the shape (1, 200, 100)",
        ),
        "summed over the batch": (
            {"else dy * mask": "else (dy * mask).sum(axis=0)"},
            "your dx has the shape (100,)",
        ),
        "a tenth at least": ({">= self.p": ">= max(self.p, 0.1)"}, "with p = 0 y is x"),
    },
    "transposed": {
        "padding is ignored": (
            {"- 2 * self.padding": ""},
            "padding 1 your y has the shape (2, 8, 10, 2), not (2, 6, 8, 2)",
        ),
        "as many pixels as x": (
            {
                "[(m - 1) * self.stride - 2 * self.padding + self.kernel_size for m in small]": "small"
            },
            "the shape of y: line",
        ),
        "padding in the size only": ({"(p, p), x": "(0, 0), x"}, "the shape of y: line"),
        "the border is cut off on one side": (
            {
                "(p, p), x": "(0, 0), x",
                "- 2 * self.padding ": "",
                "return col2im(rows, (n, *large, self.out_channels), self.geometry(x)), x": "y = col2im(rows, (n, *large, self.out_channels), self.geometry(x)); return y[:, 2"
                " * self.padding:, 2 * self.padding:], x",
            },
            "adding the kernels one by one",
        ),
        "the kernel is mirrored": (
            {
                "x.reshape(-1, self.in_channels) @ self.W.": "x.reshape(-1, self.in_channels) @ self.W[::-1, ::-1].",
            },
            "your kernel is mirrored",
        ),
        "overlaps are overwritten": (
            {
                "return col2im(": "return overwritten(",
                "class Transposed": "def overwritten(rows, shape, geometry):\n    import numpy as np\n"
                "    (n, H, W, F), ((k, _), (s, _), (p, _), (height, width)) = shape, geometry\n"
                "    y = np.zeros((n, H + 2 * p, W + 2 * p, F), rows.dtype)\n    rows ="
                " rows.reshape(n, height, width, k, k, F)\n"
                "    for v, u in np.ndindex(height, width):\n        y[:, s * v:s * v + k, s * u:s"
                " * u + k] = rows[:, v, u]\n"
                "    return y[:, p:p + H, p:p + W]\n\n\nclass Transposed",
            },
            "the last one wins",
        ),
        "channels exchanged": (
            {
                "@ self.W.reshape(-1, self.in_channels).T\n": "@ self.W.swapaxes(2, 3).reshape(-1, self.in_channels).T\n",
            },
            "adding the kernels one by one",
        ),
        "zeros": ({"rows = x.reshape(": "rows = 0 * x.reshape("}, "your y is 0 everywhere"),
        "dx as forward": (
            {"(rows @ self.W.reshape(-1, self.in_channels)).reshape(x.shape)": "0 * x + 1"},
            "your dx at",
        ),
        "dx of another shape": (
            {"self.in_channels)).reshape(x.shape)": "self.in_channels))"},
            "your dx has the shape (24, 3), but x has (2, 3, 4, 3)",
        ),
        "dW transposed": (
            {
                "(rows.T @ x.reshape(-1, self.in_channels)).reshape": "(x.reshape(-1, self.in_channels).T @ rows).reshape"
            },
            "your dW at",
        ),
        "dW of the last image": (
            {
                "self.dW[...] = (rows.T @ x.reshape(-1, self.in_channels))": "self.dW[...] = (rows[-12:].T @ x[-1:].reshape(-1, self.in_channels))",
            },
            "only the last example counts",
        ),
        "dW accumulates": (
            {"self.dW[...] =": "self.dW[...] +="},
            "backward writes dW, it does not add",
        ),
        "dW is replaced": ({"self.dW[...] =": "self.dW ="}, "self.dW[...] = ..."),
        "need_dparams is ignored": ({"if need_dparams:": "if True:"}, "need_dparams=False"),
        "the cache is in the layer": (
            {
                "self.geometry(x)), x\n": "self.geometry(x)), setattr(self, 'x', x)\n",
                "def backward(self, dy, x,": "def backward(self, dy, cache,",
                "        rows = im2col": "        x = self.x\n        rows = im2col",
            },
            "the cache, not in the layer",
        ),
    },
    "own_loss": {
        "no 1/N": (
            {"(a_fake / root - 1) / a_fake.size": "a_fake / root - 1"},
            "a sum over the batch instead of a mean",
        ),
        "sums": (
            {
                "(root - a_fake).mean(), (a_fake / root - 1) / a_fake.size": "(root - a_fake).sum(), a_fake / root - 1"
            },
            "use the mean",
        ),
        "a wrong derivative": (
            {"(a_real / root_real - 1)": "(1 / root_real - 1)"},
            "your da_real at",
        ),
        "the sign of da_fake": (
            {"(a_fake / root_fake + 1)": "-(a_fake / root_fake + 1)"},
            "the sign",
        ),
        "real and fake exchanged": (
            {
                "(root_real - a_real)": "(root_real + a_real)",
                "(root_fake + a_fake)": "(root_fake - a_fake)",
                "(a_real / root_real - 1)": "(a_real / root_real + 1)",
                "(a_fake / root_fake + 1)": "(a_fake / root_fake - 1)",
            },
            "the higher a, the more real",
        ),
        "fakes have no loss": (
            {
                " + (root_fake + a_fake).mean()": "",
                "(a_fake / root_fake + 1) / a_fake.size": "0 * a_fake",
                "(root_real - a_real)": "root_real",
                "(a_real / root_real - 1)": "(a_real / root_real)",
            },
            "D's loss is",
        ),
        "D's losses are flat in the middle": (
            {
                "(root_real - a_real).mean() + (root_fake + a_fake).mean()": "(np.maximum(0.3 - a_real, 0) ** 2).mean() + (np.maximum(a_fake - 0.7, 0) **"
                " 2).mean()",
                "(a_real / root_real - 1)": "-2 * np.maximum(0.3 - a_real, 0)",
                "(a_fake / root_fake + 1)": "2 * np.maximum(a_fake - 0.7, 0)",
            },
            "does not push them apart",
        ),
        "G learns to be recognised": (
            {
                "(root - a_fake).mean(), (a_fake / root - 1)": "(root + a_fake).mean(), (a_fake / root + 1)",
            },
            "where a fake's score is -1",
        ),
        "the formula of 2014": (
            {
                "(root - a_fake).mean(), (a_fake / root - 1)": "-np.logaddexp(0, a_fake).mean(), -1 / (1 + np.exp(-a_fake))",
            },
            "it vanishes where G has most to learn",
        ),
        "exponential losses": (
            {
                "(root_real - a_real).mean() + (root_fake + a_fake).mean()": "np.exp(-a_real).mean() + np.exp(a_fake).mean()",
                "(a_real / root_real - 1)": "-np.exp(-a_real)",
                "(a_fake / root_fake + 1)": "np.exp(a_fake)",
            },
            "gives infinity or NaN",
        ),
        "far too weak a G": (
            {
                "(root - a_fake).mean(), (a_fake / root - 1)": "1e-12 * (root - a_fake).mean(), 1e-12 * (a_fake / root - 1)",
            },
            "after 400 steps",
        ),
        "float64 operands": (
            {
                "np.sqrt(1 + a_fake ** 2)\n    return": "np.sqrt(1 + a_fake.astype(float) ** 2)\n    return",
            },
            "has another dtype",
        ),
        "one gradient is missing": (
            {", (a_fake / root_fake + 1) / a_fake.size": ""},
            "returns three values",
        ),
        "one loss per column": (
            {"return (root - a_fake).mean()": "return (root - a_fake).mean(axis=0)"},
            "one finite number",
        ),
        "G's target is too low": (
            {
                "(root - a_fake).mean(), (a_fake / root - 1)": "((a_fake + 0.5) ** 2).mean(), 2 * (a_fake + 0.5)",
            },
            "where a fake's score is 0, G's step changes it by -1",
        ),
        "G's gradient is missing": (
            {
                "return (root - a_fake).mean(), (a_fake / root - 1) / a_fake.size": "return (root - a_fake).mean()",
            },
            "generator_loss returns two values",
        ),
        "one gradient for all real images": (
            {
                "(a_real / root_real - 1) / a_real.size": "(a_real / root_real - 1).mean(axis=0)",
            },
            "your da_real has the shape (1,)",
        ),
        "one gradient for all of D's fakes": (
            {
                "(a_fake / root_fake + 1) / a_fake.size": "(a_fake / root_fake + 1).mean(axis=0)",
            },
            "your da_fake of discriminator_loss has the shape (1,)",
        ),
        "exponential losses, warnings off": (
            {
                "(root_real - a_real).mean() + (root_fake + a_fake).mean()": "np.exp(-a_real).mean() + np.exp(a_fake).mean()",
                "(a_real / root_real - 1)": "-np.exp(-a_real)",
                "(a_fake / root_fake + 1)": "np.exp(a_fake)",
                "import numpy as np": 'import numpy as np\n\nnp.seterr(all="ignore")',
            },
            "a loss or a gradient is infinite or NaN",
        ),
    },
    "digits": {
        "only train is written": (
            {"return G, D": 'raise NotImplementedError("make_networks is not written yet")'},
            "ex9_digits.py: make_networks is not written yet.",
        ),
        "one network": ({"return G, D": "return G"}, "make_networks returns (G, D)"),
        "a list of layers": ({"return G, D": "return G.layers, D"}, "but G is list"),
        "too large": (
            {
                "Dense(Z, 128, rng=rng)": "Dense(Z, 3000, rng=rng)",
                "Dense(128, 256": "Dense(3000, 256",
            },
            "G has 1,164,744 parameters: use fewer than a million",
        ),
        "half an image": (
            {"Dense(256, P, rng=rng)": "Dense(256, P // 2, rng=rng)"},
            "to (20, 392), but it should be (20, 784)",
        ),
        "float64": (
            {"rng=rng),": "dtype='float64', rng=rng),"},
            "has float64 weights",
        ),
        "no tanh": ({"            Tanh(),\n": ""}, "end G with a Tanh"),
        "a sigmoid in G": (
            {
                "import LeakyReLU, Tanh": "import LeakyReLU, Sigmoid",
                "            Tanh(),": "            Sigmoid(),",
            },
            "end G with a Tanh",
        ),
        "two logits": ({"Dense(128, 1, rng=rng)": "Dense(128, 2, rng=rng)"}, "to (20, 2)"),
        "a sigmoid in D": (
            {
                "import LeakyReLU, Tanh": "import LeakyReLU, Sigmoid, Tanh",
                "Dense(128, 1, rng=rng),": "Dense(128, 1, rng=rng), Sigmoid(),",
            },
            "without a Sigmoid",
        ),
        "no generator": (
            {"yield loss_D, loss_G": "return loss_D, loss_G"},
            "yield after each step",
        ),
        "one loss": ({"yield loss_D, loss_G": "yield loss_D"}, "yield loss_D, loss_G"),
        "no step at all": ({"while True:": "while False:"}, "yield loss_D, loss_G"),
        "images in [0, 1]": ({"/ 127.5 - 1": "/ 255"}, "the bytes have to be scaled"),
        "bytes": ({"/ 127.5 - 1": "+ 0"}, "have to be scaled"),
        "images in float64": ({'astype("float32")': "astype(float)"}, "received float64 x"),
        "a single epoch": ({"while True:": "for _ in range(1):"}, "it should train forever"),
        "chosen with repetition": (
            {"rng.permutation(len(images))": "rng.integers(0, len(images), len(images))"},
            "show each image once before any is shown again",
        ),
        "the order of the data": (
            {
                "rng.permutation(len(images))": "range(len(images))",
                "order[start : start + N]": "list(order[start : start + N])",
            },
            "in a random order",
        ),
        "the same order in every epoch": (
            {
                "    while True:\n        order = rng.permutation(len(images))": "    order = rng.permutation(len(images))\n    while True:",
            },
            "choose a new order for each epoch",
        ),
        "G does not learn": (
            {"generator_step(G, D, optimizer_G, z_G, rng=rng)": "0.0"},
            "G has not changed",
        ),
        "one optimizer for both": (
            {"optimizer_D = Adam(D.theta,": "optimizer_D = Adam(D.theta.copy(),"},
            "D has not changed",
        ),
        "the same noise in each step": (
            {
                "while True:": "noise = rng.standard_normal((N, Z), dtype='float32')\n    while True:",
                "G, D, optimizer_D, real, z_D": "G, D, optimizer_D, real, noise",
                "optimizer_G, z_G": "optimizer_G, noise",
            },
            "draw new noise",
        ),
        "G hardly learns": (
            {"Adam(G.theta, 1e-3": "Adam(G.theta, 1e-7"},
            "the Fréchet distance of",
        ),
    },
}

RIGHT = {  # exercise: {right answer: edits}
    "relu": {
        "x is remembered": {
            "return y, y > 0": "return y, x",
            "dy * positive": "np.where(positive > 0, dy, 0)",
        },
        "1 at the kink": {"y > 0": "x >= 0"},
    },
    "gate": {
        "one after the other": {
            "return da @ self.W.T + dc @ self.V.T": "dx = da @ self.W.T\n        dx += dc @ self.V.T\n        return dx",
        },
    },
    "gan_1": {
        "the losses are floats": {
            "return 2 * loss_D, loss_G": "return float(2 * loss_D), float(loss_G)"
        },
    },
    "gan_2": {
        "D computes gradients that nobody uses": {", need_dparams=False": ""},
    },
    "gan_5": {
        "the loss of probabilities": {
            "import numpy": "from minigan.nn.activations import Sigmoid\nfrom minigan.nn.losses import bce\nimport numpy",
            "loss, dlogits = bce_with_logits(logits, target)": "p, memory = Sigmoid().forward(logits); loss, dp = bce(p, target)",
            "D.backward(dlogits, cache)\n        return": "D.backward(Sigmoid().backward(dp, memory), cache)\n        return",
        },
    },
    "bce": {
        "NumPy's logaddexp": {"np.maximum(a, 0) + np.log1p(e)": "np.logaddexp(0, a)"},
        "tanh for the sigmoid": {"np.where(a > 0, 1, e) / (1 + e)": "(1 + np.tanh(a / 2)) / 2"},
    },
    "adam": {
        "moments in place": {
            "self.m = self.beta1 * self.m + (1 - self.beta1) * dtheta": "self.m += (1 - self.beta1) * (dtheta - self.m)"
        },
        "theta[...]": {"self.theta -= self.lr": "self.theta[...] = self.theta - self.lr"},
    },
    "dropout": {
        "a mask of the dropped ones": {
            "(rng.random(x.shape) >= self.p).astype(x.dtype) / (1 - self.p)": "(1 - rng.binomial(1, self.p, x.shape)).astype(x.dtype) / (1 - self.p)",
        },
    },
    "transposed": {
        "the fast form": {
            "import col2im,": "import matmul_col2im,",
            "rows = x.reshape(-1, self.in_channels) @ self.W.reshape(-1, self.in_channels).T": "rows = x.reshape(-1, self.in_channels)",
            "col2im(rows, (n, *large, self.out_channels), self.geometry(x))": "matmul_col2im(rows, self.W, (n, *large, self.out_channels), self.geometry(x))",
        },
    },
    "own_loss": {
        "squares, Mao et al. 2017": {
            "(root_real - a_real).mean() + (root_fake + a_fake).mean()": "((a_real - 1) ** 2).mean() + (a_fake ** 2).mean()",
            "(a_real / root_real - 1)": "2 * (a_real - 1)",
            "(a_fake / root_fake + 1)": "2 * a_fake",
            "(root - a_fake).mean(), (a_fake / root - 1)": "((a_fake - 1) ** 2).mean(), 2 * (a_fake - 1)",
        },
        "hinge, Lim & Ye 2017": {
            "(root_real - a_real).mean() + (root_fake + a_fake).mean()": "np.maximum(0, 1 - a_real).mean() + np.maximum(0, 1 + a_fake).mean()",
            "(a_real / root_real - 1)": "-(a_real < 1).astype(a_real.dtype)",
            "(a_fake / root_fake + 1)": "(a_fake > -1).astype(a_fake.dtype)",
            "(root - a_fake).mean(), (a_fake / root - 1)": "-a_fake.mean(), (0 * a_fake - 1)",
        },
        "cross-entropy, not saturating": {
            "(root_real - a_real).mean() + (root_fake + a_fake).mean()": "np.logaddexp(0, -a_real).mean() + np.logaddexp(0, a_fake).mean()",
            "(a_real / root_real - 1)": "(np.tanh(a_real / 2) - 1) / 2",
            "(a_fake / root_fake + 1)": "(np.tanh(a_fake / 2) + 1) / 2",
            "(root - a_fake).mean(), (a_fake / root - 1)": "np.logaddexp(0, -a_fake).mean(), (np.tanh(a_fake / 2) - 1) / 2",
        },
        "differences, Arjovsky et al. 2017": {
            "(root_real - a_real).mean() + (root_fake + a_fake).mean()": "a_fake.mean() - a_real.mean()",
            "(a_real / root_real - 1)": "(0 * a_real - 1)",
            "(a_fake / root_fake + 1)": "(0 * a_fake + 1)",
            "(root - a_fake).mean(), (a_fake / root - 1)": "-a_fake.mean(), (0 * a_fake - 1)",
        },
    },
    "digits": {
        "other networks, optimizers and batches": {
            "N, Z, P = 64": "N, Z, P = 100",
            "Dense(Z, 128, rng=rng)": "Dense(Z, 200, rng=rng)",
            "Dense(128, 256, rng=rng)": "Dense(200, 256, rng=rng)",
            "optimizer_D = Adam(D.theta, 1e-3, beta1=0.0, beta2=0.99)": "optimizer_D = Adam(D.theta, 5e-4, beta1=0.5)",
        },
        "the form of the paper": {"discriminator_step": "discriminator_step_two_passes"},
    },
}
