"""Typical wrong answers to the exercises, and right ones that look otherwise, as edits of the solutions.

{what stands there: what to write instead}; in exercise 3 an edit is made in one function only.
"""

WRONG = {  # exercise: {wrong answer: ({right: wrong}, what the sentence must say)}
    "relu": {
        "only y is returned": ({"return y, y > 0": "return y"}, "forward returns two things"),
        "one number comes out": ({"return y, y > 0": "return y.sum(), y > 0"}, "your y is no array"),
        "one number for each column": ({"return y, y > 0": "return y.sum(axis=0), y > 0"}, "your y has the shape (4,), x has (3, 4)"),
        "half a hole": ({"return dy * positive": 'raise NotImplementedError("ReLU.backward is not written yet")'},
                        "ex1_relu.py: ReLU.backward is not written yet."),
        "it ends the program": ({"return dy * positive": "raise SystemExit"}, "raises SystemExit"),
        "the absolute value": ({"np.maximum(x, 0)": "abs(x)"}, "max(x, 0) is 0"),
        "minimum for maximum": ({"np.maximum": "np.minimum"}, "max(x, 0) is"),
        "a leak": ({"np.maximum(x, 0)": "np.maximum(x, 0.1 * x)"}, "for x = -4 your y is -0.4"),
        "x is written into": ({"y = np.maximum(x, 0)": "y = x; y[y < 0] = 0"}, "writes into an array that it was given"),
        "dy is written into": ({"return dy * positive": "dy *= positive; return dy"}, "writes into an array that it was given"),
        "slope 1 everywhere": ({"dy * positive": "dy"}, "does a negative x have any influence on y?"),
        "a leak, backward only": ({"dy * positive": "dy * np.where(positive, 1, 0.3)"}, "does a negative x have any influence on y?"),
        "y for its slope": ({"return y, y > 0": "return y, y"}, "how fast does y follow when such an x moves?"),
        "dy is forgotten": ({"dy * positive": "1.0 * positive"}, "the values of dx"),
        "the sign of dy": ({"dy * positive": "dy * (dy > 0)"}, "the values of dx"),
        "summed over the batch": ({"dy * positive": "(dy * positive).sum(axis=0)"}, "your dx has the shape (4,), x has (3, 4)"),
        "a memory in the layer": ({
            "return y, y > 0": "self.p = y > 0; return y, None",
            "dy * positive": "dy * self.p",
        }, "the cache, not into the layer"),
        "float64 creeps in": ({"dy * positive": "dy * np.where(positive, np.float64(1), 0.0)"}, "your dx is float64"),
        "nothing is returned": ({"return dy * positive": "dx = dy * positive"}, "your dx is no array but None"),
        "a typing error": ({"return y, y > 0": "return y, yy > 0"}, "raises NameError: name 'yy' is not defined"),
        "not Python": ({"return y, y > 0": "return y, y >"}, "is not Python"),
        "two axes only": ({"y = np.maximum(x, 0)": "y = np.maximum(x, 0).reshape(len(x), -1)"}, "your y has the shape (4, 1), x has (4,)"),
    },
    "gate": {
        "the gate's way is forgotten": ({" + dc @ self.V.T": ""}, "holds only what reaches y through a = xW"),
        "the other way is forgotten": ({"da @ self.W.T + ": ""}, "holds only what reaches y through c = xV"),
        "the sigmoid's slope is forgotten": ({"dy * a * s * (1 - s)": "dy * a"}, "your dx at"),
        "the gate's factor a is forgotten": ({"dy * a * s * (1 - s)": "dy * s * (1 - s)"}, "your dx at"),
        "dW and dV exchanged": ({"x.T @ da": "x.T @ dc", "self.dV[...] = x.T @ dc": "self.dV[...] = x.T @ da"}, "the values of dW"),
        "a mean over the batch": ({"x.T @ da": "x.T @ da / len(x)"}, "a sum over the batch where a mean belongs"),
        "a sign": ({"x.T @ dc": "-x.T @ dc"}, "your dV at"),
        "gradients add up": ({"self.dW[...] =": "self.dW[...] +="}, "backward writes dW, it does not add"),
        "a new array": ({"self.dV[...] =": "self.dV ="}, "self.dV[...] = ..."),
        "the wrong shape": ({"self.dV[...] = x.T @ dc": "self.dV = dc.T @ x"}, "your dV has the shape (3, 4)"),
        "need_dparams is not looked at": ({"if need_dparams:": "if True:"}, "need_dparams=False"),
        "dy is written into": ({
            "da = dy * s\n": "dc = dy * a * s * (1 - s)\n        dy *= s; da = dy\n",
            "        dc = dy * a * s * (1 - s)\n        if": "        if",
        }, "writes into an array that it was given"),
        "the cache is written into": ({"dc = dy * a * s * (1 - s)": "a *= dy * s * (1 - s); dc = a"}, "writes into its cache"),
        "a memory in the layer": ({
            "return a * s, (x, a, s)": "self.c = x, a, s; return a * s, (x, a, s)",
            "x, a, s = cache": "x, a, s = self.c",
        }, "the cache, not into the layer"),
        "forward is changed": ({"return a * s,": "return a,"}, "put it back as it was"),
        "summed over the batch": ({
            "return da @ self.W.T + dc @ self.V.T": "return (da @ self.W.T + dc @ self.V.T).sum(axis=0)",
        }, "your dx has the shape (4,), x has (5, 4)"),
        "half of the last one is kept": ({
            "self.dV[...] = x.T @ dc": "self.dV[...] = 0.5 * self.dV + x.T @ dc",
        }, "your dV depends on what was there before"),
    },
    "gan_1": {
        "as it came": ({"bce_on_logits(logits, 1.0)": "bce_on_logits(logits, 0.0)"}, "D takes its drawings for real less than before"),
        "G goes up": ({"optim_G.step(G.dtheta)": "optim_G.step(-G.dtheta)"}, "the sign"),
        "D's labels exchanged": ({"target[:len(real)] = 1": "target[len(real):] = 1"}, "its step takes mean D(x) from"),
        "G's first noise": ({"G.forward(z_G)": "G.forward(z_D)"}, "G's gradient"),
        "averaged twice": ({"optim_D.step(D.dtheta)": "optim_D.step(D.dtheta / len(real))"}, "it is 0.1429 times what it should be"),
        "G's loss is another's": ({"2 * loss_D, loss_G": "2 * loss_D, -loss_G"}, "G's loss is said to be -"),
        "one loss is not returned": ({"return 2 * loss_D, loss_G": "return 2 * loss_D"}, "it is to return two things"),
    },
    "gan_2": {
        "as it came": ({
            "memory_D, need_dparams=False), memory_G)\n    optim_G.step(G.dtheta)":
                "memory_D), memory_G)\n    optim_G.step(G.dtheta)\n    optim_D.step(D.dtheta)",
        }, "D's weights change in G's half of the step"),
        "D is moved by hand": ({
            "memory_G)\n    optim_G.step(G.dtheta)": "memory_G)\n    optim_G.step(G.dtheta)\n    D.theta -= 0.1 * D.dtheta",
        }, "D's weights change in G's half"),
        "D before G's gradient is known": ({
            "    drawn, memory_G = G": "    optim_D.step(D.dtheta)\n    drawn, memory_G = G",
        }, "but here it is D, then D, then G"),
        "G does not learn any more": ({"    optim_G.step(G.dtheta)\n": ""}, "but here it is D"),
        "D does not learn any more": ({"    optim_D.step(D.dtheta)\n": ""}, "but here it is G"),
    },
    "gan_3": {
        "as it came": ({"/ 127.5 - 1": "/ 255"}, "the images made from pixels go from 0 to 1"),
        "twice as bright": ({"/ 127.5 - 1": "/ 127.5"}, "the images made from pixels go from 0 to 2"),
        "centred, not scaled": ({"/ 127.5 - 1": "/ 255 - 0.5"}, "go from -0.5 to 0.5"),
        "one batch of fakes": ({
            "np.vstack([x, G.forward(z_D)[0]])": "np.vstack([G.forward(z_D)[0], G.forward(z_D)[0]])",
        }, "D is shown no real image"),
    },
    "gan_4": {
        "as it came": ({
            "logits, cache_real": "logits, cache",
            "logits, cache_fake": "logits, cache",
            "dlogits_real, cache_real": "dlogits_real, cache",
            "dlogits_fake, cache_fake": "dlogits_fake, cache",
        }, "D's optimizer is not given the gradient of D's loss"),
        "the second backward writes over the first": ({
            "dtheta + D.dtheta": "D.dtheta",
        }, "D's optimizer is not given the gradient of D's loss"),
        "no copy": ({"D.dtheta.copy()": "D.dtheta"}, "D's optimizer is not given the gradient of D's loss"),
        "two steps": ({
            "dtheta = D.dtheta.copy()": "optim_D.step(D.dtheta)",
            "optim_D.step(dtheta + D.dtheta)": "optim_D.step(D.dtheta)",
        }, "D's optimizer is not given"),
        "stale in G's half": ({"D.backward(dlogits, cache_D": "D.backward(dlogits, cache_fake"}, "G's gradient"),
    },
    "gan_5": {
        "as it came": ({
            "import numpy": "from minigan.activations import Sigmoid\nimport numpy",
            "loss, dlogits = bce_on_logits(logits, target)": "p, memory = Sigmoid().forward(logits); loss, dp = bce_on_logits(p, target)",
            "D.backward(dlogits, cache)\n        return": "D.backward(Sigmoid().backward(dp, memory), cache)\n        return",
        }, "D's optimizer is not given the gradient of D's loss"),
        "the slope of the sigmoid is forgotten": ({
            "import numpy": "from minigan.activations import sigmoid\nfrom minigan.losses import bce_on_probabilities\nimport numpy",
            "bce_on_logits(logits, target)": "bce_on_probabilities(sigmoid(logits), target)",
        }, "D's optimizer is not given the gradient of D's loss"),
        "the slope twice": ({
            "import numpy": "from minigan.activations import sigmoid\nimport numpy",
            "D.backward(dlogits, cache)\n        return":
                "D.backward(dlogits * sigmoid(logits) * (1 - sigmoid(logits)), cache)\n        return",
        }, "D's optimizer is not given the gradient of D's loss"),
    },
    "bce": {
        "the textbook form": ({
            "np.maximum(z, 0) + np.log1p(e) - t * z": "-t * np.log(1 / (1 + np.exp(-z))) - (1 - t) * np.log(1 - 1 / (1 + np.exp(-z)))",
        }, "which e^... is above 1 here"),
        "clipped probabilities": ({
            "price = ": "q = np.clip(np.where(z > 0, 1, e) / (1 + e), 1e-7, 1 - 1e-7)\n    price = ",
            "np.maximum(z, 0) + np.log1p(e) - t * z": "-t * np.log(q) - (1 - t) * np.log(1 - q)",
        }, "has no ceiling"),
        "clipped logits": ({"    e = ": "    z = np.clip(z, -20, 20)\n    e = "}, "at z = 1000 your L is 20, not 1000"),
        "an overflow in the gradient only": ({"np.where(z > 0, 1, e) / (1 + e)": "1 / (1 + np.exp(-z))"}, "gives infinity or NaN"),
        "e^z in the logarithm": ({"np.maximum(z, 0) + np.log1p(e)": "np.log1p(np.exp(z))"}, "z = 1000 gives infinity"),
        "a sum": ({"price.mean()": "price.sum()"}, "L is their mean"),
        "no 1/N in dz": ({"(p - t) / z.size": "p - t"}, "a sum over the batch where a mean belongs"),
        "the sign of dz": ({"(p - t)": "(t - p)"}, "the sign"),
        "the slope twice": ({"(p - t)": "(p - t) * p * (1 - p)"}, "the formula itself"),
        "dp for dz": ({"(p - t)": "(p - t) / p / (1 - p)"}, "the formula itself"),
        "the other way round": ({"- t * z": "- (1 - t) * z"}, "the formula with p gives"),
        "one mean a column": ({"price.mean()": "price.mean(axis=0)"}, "L is one number"),
        "log(1 + e)": ({"np.log1p(e)": "np.log(1 + e)"}, "is lost"),
        "float64 creeps in": ({"np.maximum(z, 0)": "np.maximum(z, np.zeros(z.shape))"}, "your L is float64"),
        "t as an array only": ({"- t * z": "- t[...] * z"}, "raises TypeError"),
        "z is written into": ({"    e = ": "    np.clip(z, -1e4, 1e4, out=z)\n    e = "}, "writes into an array that it was given"),
        "L only": ({"return price.mean(), (p - t) / z.size": "return price.mean()"}, "it returns two things"),
        "one slope for all": ({"(p - t) / z.size": "(p - t).mean()"}, "your dz is no array"),
        "labels smoothed in secret": ({
            "    e = ": "    t = 0.9 if isinstance(t, float) else t\n    e = ",
        }, "with t = 1.0, one number for all"),
        "float64 creeps into dz": ({"np.where(z > 0, 1, e)": "np.where(z > 0, np.float64(1), e)"}, "your dz is float64"),
        "a clipped gradient": ({
            "np.where(z > 0, 1, e) / (1 + e)": "np.clip(np.where(z > 0, 1, e) / (1 + e), 1e-3, 1 - 1e-3)",
        }, "it vanishes, or clips, where it is needed most"),
    },
    "adam": {
        "theta is replaced": ({"self.theta -=": "self.theta = self.theta -"}, "write into it (theta -= ...,"),
        "no bias correction": ({"1 - self.beta1 ** self.t": "1", "1 - self.beta2 ** self.t": "1"}, "there is no bias correction"),
        "only m is corrected": ({"/ (1 - self.beta2 ** self.t)": ""}, "by the paper"),
        "uphill": ({"self.theta -=": "self.theta +="}, "it goes up the gradient"),
        "no root": ({"np.sqrt(v_hat)": "v_hat"}, "not by its square root"),
        "eps in the root": ({"np.sqrt(v_hat) + self.eps": "np.sqrt(v_hat + self.eps)"}, "eps stands inside of the root"),
        "t begins at 0": ({"        self.t += 1\n": "", "+ self.eps)": "+ self.eps)\n        self.t += 1"}, "gives infinity or NaN"),
        "t begins at 2": ({"np.zeros_like(theta), 0\n": "np.zeros_like(theta), 1\n"}, "t is one too large"),
        "t stays": ({"self.t += 1": "self.t = 1"}, "four steps"),
        "m^ is kept": ({
            "m_hat = self.m /": "m_hat = self.m = self.m /",
            "v_hat = self.v /": "v_hat = self.v = self.v /",
        }, "as they were before the correction"),
        "|g| for g²": ({"dtheta ** 2": "abs(dtheta)"}, "v averages |g|, not g²"),
        "the betas exchanged": ({"self.beta1 * self.m + (1 - self.beta1)": "self.beta2 * self.m + (1 - self.beta2)"}, "by the paper"),
        "m is dtheta itself": ({
            "self.m = self.beta1 * self.m + (1 - self.beta1) * dtheta":
                "self.m = dtheta if self.beta1 == 0 or self.t == 1 else self.beta1 * self.m + (1 - self.beta1) * dtheta",
            "m_hat = self.m / (1 - self.beta1 ** self.t)": "m_hat = self.m if self.t == 1 else self.m / (1 - self.beta1 ** self.t)",
        }, "by the paper"),
        "the last gradient is kept": ({
            "        self.m = self.beta1 * self.m + (1 - self.beta1) * dtheta\n":
                "        self.g = [*getattr(self, 'g', []), dtheta]\n"
                "        self.m = sum((1 - self.beta1) * self.beta1 ** i * g for i, g in enumerate(self.g[::-1]))\n",
        }, "when backward overwrites dtheta"),
        "dtheta is written into": ({
            "        self.m =": "        dtheta *= 1 - self.beta1\n        self.m =",
            "(1 - self.beta1) * dtheta\n": "dtheta\n",
        }, "writes into an array that it was given"),
        "no eps": ({" + self.eps)": ")"}, "there is no eps"),
        "the class counts": ({"self.t += 1": "Adam.t = getattr(Adam, 't', 0) + 1; self.t = Adam.t"}, "belong to self, not to the class"),
        "float64 moments": ({
            "np.zeros_like(theta), np.zeros_like(theta)": "np.zeros(theta.shape), np.zeros(theta.shape)",
        }, "self.m is float64"),
        "nothing moves": ({"self.theta -=": "theta = self.theta -"}, "theta is the same after a step"),
        "no eps at g = 0, warnings off": ({
            "+ self.eps)": "+ self.eps * (dtheta != 0))",
            "    def step": "    @np.errstate(all=\"ignore\")\n    def step",
        }, "a gradient of 0 moves a weight of 1 to nan"),
        "no eps at g = 0": ({"+ self.eps)": "+ self.eps * (dtheta != 0))"}, "gives infinity or NaN"),
    },
    "dropout": {
        "not louder": ({" / (1 - self.rate)": ""}, "as loud as before, so on average y is 0.7 x"),
        "too loud": ({"/ (1 - self.rate)": "/ self.rate"}, "are multiplied by 3.333, so on average y is 2.33 x"),
        "the wrong ones stay": ({">= self.rate": "< self.rate"}, "a number stays with probability 1 - rate"),
        "scaled when not training": ({"return x, None": "return x * (1 - self.rate), None"}, "on average 0.7 times x"),
        "always on": ({"if not train:": "if False:"}, "with train=False your y is not x"),
        "a new mask in backward": ({
            "dy if mask is None else dy * mask": "dy if mask is None else dy * type(self).fresh(mask, self.rate)",
            "    def backward":
                "    @staticmethod\n    def fresh(mask, rate):\n        import numpy as np\n"
                "        return (np.random.default_rng(99).random(mask.shape) >= rate) / (1 - rate)\n\n    def backward",
        }, "the mask of forward has to be remembered"),
        "no mask in backward": ({"dy if mask is None else dy * mask": "dy"}, "silenced in y but not in dx"),
        "backward is not louder": ({"else dy * mask": "else dy * (mask > 0)"}, "a factor is missing"),
        "whole columns": ({"rng.random(x.shape)": "rng.random((1, *x.shape[1:])) + 0 * x"}, "whole columns"),
        "whole rows": ({"rng.random(x.shape)": "rng.random((len(x), 1)) + 0 * x"}, "whole rows"),
        "a global generator": ({
            "rng.random(x.shape)": "np.random.random(x.shape)",
            "from minigan": "import numpy as np\nfrom minigan",
        }, "from nowhere else"),
        "a seed of its own": ({
            "rng.random(x.shape)": "np.random.default_rng(0).random(x.shape)",
            "from minigan": "import numpy as np\nfrom minigan",
        }, "another rng silences the same numbers"),
        "a memory in the layer": ({
            "return x * mask, mask": "self.mask = mask; return x * mask, mask",
            "else dy * mask": "else dy * self.mask",
        }, "the cache, not into the layer"),
        "float64 creeps in": ({".astype(x.dtype)": ""}, "your y is float64"),
        "normal noise": ({"rng.random(x.shape)": "rng.standard_normal(x.shape)"}, "of y are 0 while training, yours are 6"),
        "x is written into": ({"return x * mask, mask": "x *= mask; return x, mask"}, "writes into an array that it was given"),
        "louder by chance": ({"/ (1 - self.rate)": "* rng.uniform(1, 2, x.shape)"}, "the factor is one number"),
        "flat": ({"return x, None": "return x.ravel(), None"}, "your y has the shape (20000,)"),
        "no dx without training": ({"dy if mask is None": "None if mask is None"}, "your dx is no array but None"),
        "scaled backward when not training": ({"dy if mask is None": "dy * (1 - self.rate) if mask is None"}, "so dx is dy"),
        "one axis more": ({"return x * mask, mask": "return (x * mask)[None], mask"}, "your y has the shape (1, 200, 100)"),
        "summed over the batch": ({"else dy * mask": "else (dy * mask).sum(axis=0)"}, "your dx has the shape (100,)"),
        "a tenth at least": ({">= self.rate": ">= max(self.rate, 0.1)"}, "with a rate of 0 y is x"),
    },
    "transposed": {
        "padding is forgotten": ({"- 2 * self.padding": ""}, "padding 1 your y has the shape (2, 8, 10, 2), not (2, 6, 8, 2)"),
        "as many pixels as x": ({"((m - 1) * self.stride - 2 * self.padding + self.size for m in small)": "small"}, "the shape of y: line"),
        "padding in the size only": ({"(self.padding,) * 2, *x": "(0,) * 2, *x"}, "the shape of y: line"),
        "the frame is cut off at one side": ({
            "(self.padding,) * 2, *x": "(0,) * 2, *x",
            "- 2 * self.padding ": "",
            "return add_patches(rows, (n, *large, self.n_out), *self.window(x)), x":
                "y = add_patches(rows, (n, *large, self.n_out), *self.window(x)); return y[:, 2 * self.padding:, 2 * self.padding:], x",
        }, "kernels laid one by one"),
        "the kernel is mirrored": ({
            "x.reshape(-1, self.n_in) @ self.W.": "x.reshape(-1, self.n_in) @ self.W[::-1, ::-1].",
        }, "your kernel is mirrored"),
        "overlaps are overwritten": ({
            "return add_patches(": "return laid(",
            "class Transposed":
                "def laid(rows, shape, size, stride, padding, height, width):\n    import numpy as np\n"
                "    (n, H, W, F), (k, _), (s, _), (p, _) = shape, size, stride, padding\n"
                "    y = np.zeros((n, H + 2 * p, W + 2 * p, F), rows.dtype)\n    rows = rows.reshape(n, height, width, k, k, F)\n"
                "    for v, u in np.ndindex(height, width):\n        y[:, s * v:s * v + k, s * u:s * u + k] = rows[:, v, u]\n"
                "    return y[:, p:p + H, p:p + W]\n\n\nclass Transposed",
        }, "the last one wins"),
        "channels exchanged": ({
            "@ self.W.reshape(-1, self.n_in).T\n": "@ self.W.swapaxes(2, 3).reshape(-1, self.n_in).T\n",
        }, "kernels laid one by one"),
        "zeros": ({"rows = x.reshape(": "rows = 0 * x.reshape("}, "your y is 0 everywhere"),
        "dx as forward": ({"(rows @ self.W.reshape(-1, self.n_in)).reshape(x.shape)": "0 * x + 1"}, "your dx at"),
        "dx of another shape": ({"self.n_in)).reshape(x.shape)": "self.n_in))"}, "your dx has the shape (24, 3), x has (2, 3, 4, 3)"),
        "dW transposed": ({"(rows.T @ x.reshape(-1, self.n_in)).reshape": "(x.reshape(-1, self.n_in).T @ rows).reshape"}, "your dW at"),
        "dW of the last image": ({
            "self.dW[...] = (rows.T @ x.reshape(-1, self.n_in))": "self.dW[...] = (rows[-12:].T @ x[-1:].reshape(-1, self.n_in))",
        }, "only the last example counts"),
        "dW adds up": ({"self.dW[...] =": "self.dW[...] +="}, "backward writes dW, it does not add"),
        "dW is replaced": ({"self.dW[...] =": "self.dW ="}, "self.dW[...] = ..."),
        "need_dparams is not looked at": ({"if need_dparams:": "if True:"}, "need_dparams=False"),
        "a memory in the layer": ({
            "*self.window(x)), x\n": "*self.window(x)), setattr(self, 'x', x)\n",
            "def backward(self, dy, x,": "def backward(self, dy, cache,",
            "        rows = patches": "        x = self.x\n        rows = patches",
        }, "the cache, not into the layer"),
    },
    "own_loss": {
        "no 1/N": ({"(a_fake / root - 1) / a_fake.size": "a_fake / root - 1"}, "a sum over the batch where a mean belongs"),
        "sums": ({"(root - a_fake).mean(), (a_fake / root - 1) / a_fake.size": "(root - a_fake).sum(), a_fake / root - 1"}, "use the mean"),
        "a wrong derivative": ({"(a_real / root_real - 1)": "(1 / root_real - 1)"}, "your da_real at"),
        "the sign of da_fake": ({"(a_fake / root_fake + 1)": "-(a_fake / root_fake + 1)"}, "the sign"),
        "real and fake exchanged": ({
            "(root_real - a_real)": "(root_real + a_real)",
            "(root_fake + a_fake)": "(root_fake - a_fake)",
            "(a_real / root_real - 1)": "(a_real / root_real + 1)",
            "(a_fake / root_fake + 1)": "(a_fake / root_fake - 1)",
        }, "the higher a, the more real"),
        "fakes cost nothing": ({
            " + (root_fake + a_fake).mean()": "",
            "(a_fake / root_fake + 1) / a_fake.size": "0 * a_fake",
            "(root_real - a_real)": "root_real",
            "(a_real / root_real - 1)": "(a_real / root_real)",
        }, "D pays"),
        "D's prices are flat in the middle": ({
            "(root_real - a_real).mean() + (root_fake + a_fake).mean()":
                "(np.maximum(0.3 - a_real, 0) ** 2).mean() + (np.maximum(a_fake - 0.7, 0) ** 2).mean()",
            "(a_real / root_real - 1)": "-2 * np.maximum(0.3 - a_real, 0)",
            "(a_fake / root_fake + 1)": "2 * np.maximum(a_fake - 0.7, 0)",
        }, "does not push them apart"),
        "G wants to be found out": ({
            "(root - a_fake).mean(), (a_fake / root - 1)": "(root + a_fake).mean(), (a_fake / root + 1)",
        }, "where D gives a fake -1"),
        "the formula of 2014": ({
            "(root - a_fake).mean(), (a_fake / root - 1)": "-np.logaddexp(0, a_fake).mean(), -1 / (1 + np.exp(-a_fake))",
        }, "it fades away where G has most to learn"),
        "exponential prices": ({
            "(root_real - a_real).mean() + (root_fake + a_fake).mean()": "np.exp(-a_real).mean() + np.exp(a_fake).mean()",
            "(a_real / root_real - 1)": "-np.exp(-a_real)",
            "(a_fake / root_fake + 1)": "np.exp(a_fake)",
        }, "gives infinity or NaN"),
        "far too weak a G": ({
            "(root - a_fake).mean(), (a_fake / root - 1)": "1e-12 * (root - a_fake).mean(), 1e-12 * (a_fake / root - 1)",
        }, "after 400 steps"),
        "float64 creeps in": ({
            "np.sqrt(1 + a_fake ** 2)\n    return": "np.sqrt(1 + a_fake.astype(float) ** 2)\n    return",
        }, "of another dtype"),
        "one gradient is missing": ({", (a_fake / root_fake + 1) / a_fake.size": ""}, "returns three things"),
        "one price a column": ({"return (root - a_fake).mean()": "return (root - a_fake).mean(axis=0)"}, "one finite number"),
        "G aims too low": ({
            "(root - a_fake).mean(), (a_fake / root - 1)": "((a_fake + 0.5) ** 2).mean(), 2 * (a_fake + 0.5)",
        }, "where D gives a fake 0, G's step moves that answer by -1"),
        "G's gradient is missing": ({
            "return (root - a_fake).mean(), (a_fake / root - 1) / a_fake.size": "return (root - a_fake).mean()",
        }, "loss_of_G returns two things"),
        "one gradient for all real images": ({
            "(a_real / root_real - 1) / a_real.size": "(a_real / root_real - 1).mean(axis=0)",
        }, "your da_real has the shape (1,)"),
        "one gradient for all of D's fakes": ({
            "(a_fake / root_fake + 1) / a_fake.size": "(a_fake / root_fake + 1).mean(axis=0)",
        }, "your da_fake of loss_of_D has the shape (1,)"),
        "exponential prices, warnings off": ({
            "(root_real - a_real).mean() + (root_fake + a_fake).mean()": "np.exp(-a_real).mean() + np.exp(a_fake).mean()",
            "(a_real / root_real - 1)": "-np.exp(-a_real)",
            "(a_fake / root_fake + 1)": "np.exp(a_fake)",
            "import numpy as np": "import numpy as np\n\nnp.seterr(all=\"ignore\")",
        }, "a loss or a gradient is infinite or NaN"),
    },
}

RIGHT = {  # exercise: {right answer: {right: right as well}}
    "relu": {
        "x is remembered": {"return y, y > 0": "return y, x", "dy * positive": "np.where(positive > 0, dy, 0)"},
        "1 at the kink": {"y > 0": "x >= 0"},
    },
    "gate": {
        "one after the other": {
            "return da @ self.W.T + dc @ self.V.T": "dx = da @ self.W.T\n        dx += dc @ self.V.T\n        return dx",
        },
    },
    "gan_1": {
        "the losses are floats": {"return 2 * loss_D, loss_G": "return float(2 * loss_D), float(loss_G)"},
    },
    "gan_2": {
        "D computes its gradients in vain": {", need_dparams=False": ""},
    },
    "gan_5": {
        "the loss of probabilities": {
            "import numpy": "from minigan.activations import Sigmoid\nfrom minigan.losses import bce_on_probabilities\nimport numpy",
            "loss, dlogits = bce_on_logits(logits, target)":
                "p, memory = Sigmoid().forward(logits); loss, dp = bce_on_probabilities(p, target)",
            "D.backward(dlogits, cache)\n        return": "D.backward(Sigmoid().backward(dp, memory), cache)\n        return",
        },
    },
    "bce": {
        "NumPy's logaddexp": {"np.maximum(z, 0) + np.log1p(e)": "np.logaddexp(0, z)"},
        "tanh for the sigmoid": {"np.where(z > 0, 1, e) / (1 + e)": "(1 + np.tanh(z / 2)) / 2"},
    },
    "adam": {
        "moments in place": {"self.m = self.beta1 * self.m + (1 - self.beta1) * dtheta": "self.m += (1 - self.beta1) * (dtheta - self.m)"},
        "theta[...]": {"self.theta -= self.lr": "self.theta[...] = self.theta - self.lr"},
    },
    "dropout": {
        "those that go": {
            "(rng.random(x.shape) >= self.rate).astype(x.dtype) / (1 - self.rate)":
                "(1 - rng.binomial(1, self.rate, x.shape)).astype(x.dtype) / (1 - self.rate)",
        },
    },
    "transposed": {
        "the fast form": {
            "import add_patches,": "import add_products,", "rows = x.reshape(-1, self.n_in) @ self.W.reshape(-1, self.n_in).T": "rows = x.reshape(-1, self.n_in)",
            "add_patches(rows, (n, *large, self.n_out), *self.window(x))": "add_products(rows, self.W, (n, *large, self.n_out), *self.window(x)[1:])",
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
            "(root_real - a_real).mean() + (root_fake + a_fake).mean()":
                "np.maximum(0, 1 - a_real).mean() + np.maximum(0, 1 + a_fake).mean()",
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
}
