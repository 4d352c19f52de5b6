"""Formulas: from plain text to MathML and HTML.

Docstrings contain formulas such as `dx_i = sum over j of dy_j W_ij` or `m / (1 - beta1^t)`, in
characters that every terminal has. This module sets them as a book would, in two ways:

    formula(text)   MathML, with fractions and roots, for a line that is a formula; or None
    inline(text)    HTML for any text: letters in italics, indices low, powers high

Nothing is guessed. Spaces decide what a fraction contains: `2/R h` is 2/R times h, `/ 2h` divides
by 2h, and `x·y` is one factor. After a wide gap a formula begins anew. Texts with two readings,
such as `a / b c` or `1/2h`, stay in one line as they are. No character is lost:
tests/docs/test_book.py reads the result back and compares it with the source.
"""

import re
from html import escape
from typing import NamedTuple

GREEK = {
    "beta": "β",
    "gamma": "γ",
    "theta": "θ",
    "eps": "ε",
    "lambda": "λ",
    "sigma": "σ",
    "psi": "ψ",
    "pi": "π",
}
SIGNS = {
    "-": "−",
    "*": "∗",
    "<=": "≤",
    ">=": "≥",
    "->": "→",
    "<-": "←",
    "~": "≈",
    "...": "…",
    "||": "‖",
    "x": "×",
}
FUNCTIONS = "exp log max mean min sigmoid sin softplus sqrt tanh trace var".split()
WORDS = (
    "and channel else for if is mean min max of or over sum that then times where with".split()
)  # no factors of a product
PRODUCTS = ("WV",)  # of two matrices, in prose; other pairs of capitals are abbreviations
SIZES = "k l n height size width zoom H".split()  # between two of these, or numbers, x means times
LETTER = "A-Za-zÀ-ÖØ-öø-ÿ"

BREAK = "<br>"
NUMBERED = r"[vxyz](?=\d)"  # letters whose digit is an index: z0; not the R1 of a penalty
NAME = re.compile(rf"(d{{0,2}})(?:({'|'.join(GREEK)}|{NUMBERED})(\d?)|(xhat|drows|[A-Za-z]))")
TOKEN = re.compile(
    rf"""(?P<gap>\s*)(?:
    (?P<ident>[\w./-]+\.(?:csv|gif|json|md|npz|png|py)\b
      | [{LETTER}_]\w*(?:\.(?:[A-Za-z_]{{2,}}\w*|[A-Z]\b))+)
  | (?P<num>\d{{1,3}}(?:,\d{{3}})+(?!\d)|\d+(?:\.\d+)?(?:e-?\d+)?)
  | (?P<name>(?:[{LETTER}]{{2,}}(?:-[{LETTER}]{{2,}})+|[{LETTER}]{{2,}}\d[{LETTER}]+|[{LETTER}]+\d*)
      (?:'+(?![A-Za-z]))?
      (?:_(?:[A-Za-z0-9]+|\([^()]*\)(?:\([^()]*\)|[a-z])*))*)
  | (?P<post>[²³ᵀ])
  | (?P<rel><=|>=|->|<-|==|\|\||[=<>~])
  | (?P<dots>\.\.\.)
  | (?P<open>[(\[]) | (?P<close>[)\]]) | (?P<bar>\|) | (?P<op>[-+*/·±]) | (?P<punct>[,;:])
  | (?P<other>\S))""",
    re.VERBOSE,
)


class Token(NamedTuple):
    """A name with its index, a number, a sign; `gap` is how many spaces stand before it."""

    kind: str
    text: str
    gap: int


def tokens(text):
    """The Tokens of a text; a `post` is a superscript: ², ᵀ, or the exponent after ^."""
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        kind, what, gap, at = (
            match.lastgroup,
            match[match.lastgroup],
            len(match["gap"]),
            match.end(),
        )
        if (
            kind == "name" and "_" in what and text[at : at + 1] == "("
        ):  # x_n(sv+i)(su+j)c is all index; D_k(x) may be none
            more = re.compile(r"(?:\([^()]*\)){2,}[a-z]*").match(text, at)
            what, at = (what + more[0], more.end()) if more else (what, at)
        if what == "^" and gap == 0:
            end = end_of_exponent(text, at)
            kind, what, at = ("post", text[at:end], end) if end else ("other", what, at)
        if what == "x" and found and gap and (found[-1].kind == "num" or found[-1].text in SIZES):
            if re.match(rf" (\d|({'|'.join(SIZES)})\b(?!_))", text[at:]):
                kind = "op"
        if (
            what == "*"
            and gap == 0
            and found
            and re.fullmatch("[A-Z]", found[-1].text)
            and re.match(r"[(\s.,;:]|$", text[at:])
        ):
            kind = "post"  # D*, the best D
        if what == "'" and found and found[-1].kind in ("close", "post") and gap == 0:
            kind = "post"
        found.append(Token(kind, what, gap))
    return found


def end_of_exponent(text, at):
    """Where the exponent at `at` ends: a number, a name or brackets; None for anything else."""
    match = re.compile(
        r"-?(?:\d+(?:\.\d+)?|[a-z]{3}(?=\()|\|[^|]*\||[A-Za-z](?:_\w+)?(?![\w(])|(?=\())"
    ).match(text, at)
    if not match:
        return None
    end = match.end()
    if text[end : end + 1] != "(" or match[0].endswith("|"):
        return end
    depth = 0
    for i in range(end, len(text)):
        depth += {"(": 1, ")": -1}.get(text[i], 0)
        if depth == 0:
            return i + 1


def parts(name):
    """(d's, Greek or numbered letter, digit, other letter, primes, index) of a mathematical name.

    None if it is no such name.
    """
    match = re.fullmatch(rf"({NAME.pattern})('*)(?:_(.+))?", name)
    if not match or match[1] == "do" or match[7] and "_" in match[7]:
        return None
    return match.groups()[1:]


def is_word(index):
    """Whether an index is a word, such as `label`, not a list of letters, such as `ni`."""
    return index in ("in", "min") or len(index) > 2 and re.search("[aeo]", index) is not None


# ---- MathML ----


def mi(letter):
    """One letter. Without mathvariant, browsers use letters that not every phone has."""
    return f'<mi mathvariant="normal">{letter}</mi>'


def row(html, bracketed=False):
    """A group; `bracketed` if its brackets are superfluous, as in a fraction, root or exponent."""
    return f'<mrow class="b">{html}</mrow>' if bracketed else f"<mrow>{html}</mrow>"


def index_html(index):
    """The MathML of an index."""
    if is_word(index):
        return f"<mi>{index}</mi>"
    return "".join(
        mi(c)
        if c.isalpha()
        else f"<mn>{c}</mn>"
        if c.isdigit()
        else ""
        if c == " "
        else f"<mo>{SIGNS.get(c, c)}</mo>"
        for c in index
    )


def name_html(name):
    """The MathML of a name, such as dW_ij."""
    found = parts(name)
    if not found:
        glued = re.fullmatch(r"([a-z])([A-Z])('*)|([A-Z])([a-z])('*)", name)
        if glued and name not in (
            "If",
            "In",
            "It",
            "Is",
            "So",
            "To",
            "We",
            "By",
            "As",
            "At",
            "An",
            "No",
            "On",
            "Or",
        ):
            a, b, primes = [g for g in glued.groups() if g is not None]
            return mi(a) + mi(b) + prime_html(primes)
        return f"<mi>{escape(name)}</mi>" if len(name) > 1 else mi(escape(name))
    d, greek, digit, letter, primes, index = found
    base = (
        mi(GREEK.get(greek, greek))
        if greek
        else f'<mover accent="true">{mi("x")}<mo stretchy="false">^</mo></mover>'
        if letter == "xhat"
        else (mi(letter) if len(letter) == 1 else f"<mi>{letter}</mi>")
    )
    if digit:
        base = f'<msub class="n">{base}<mn>{digit}</mn></msub>'
    base = "".join(map(mi, d)) + base
    return (
        f"<msub>{row(base + prime_html(primes))}{row(index_html(index))}</msub>"
        if index
        else base + prime_html(primes)
    )


def prime_html(primes):
    """f', L''."""
    return f'<mo lspace="0" rspace="0">{"′" * len(primes)}</mo>' if primes else ""


class Factor(NamedTuple):
    """A factor of a product, as MathML; `inner` is the content of its brackets, if it has any."""

    html: str
    inner: str = ""
    text: str = ""

    def bare(self):
        """The factor without superfluous brackets."""
        return row(self.inner, True) if self.inner else self.html


class Unclear(Exception):
    """A text is not a formula, or is ambiguous."""


class Reader:
    """Reads tokens and writes MathML.

    `flat` is for exponents, which get no fractions. A long formula may be broken before a sign
    outside of brackets, because browsers do not break MathML.
    """

    def __init__(self, text, flat=False):
        self.tokens, self.at, self.flat, self.long = (
            tokens(text),
            0,
            flat,
            not flat and len(text) > 40,
        )

    def next(self):
        """The next token, of the kind "end" if there is none."""
        return self.tokens[self.at] if self.at < len(self.tokens) else Token("end", "", 2)

    def take(self):
        """The next token, which is then consumed."""
        if self.at == len(self.tokens):
            raise Unclear("it ends too soon")
        self.at += 1
        return self.tokens[self.at - 1]

    def sequence(self, ends=("end",)):
        """Products and the signs between them, up to one of `ends`."""
        html, before = "", "open"
        while self.next().kind not in ends:
            token = self.next()
            space = '<mspace width=".7em"/>' if token.gap > 1 and html else ""
            if token.kind in ("rel", "punct") or token.kind == "op" and token.text in "+-±":
                self.take()
                sign = token.gap > 0 and self.next().gap == 0  # from -1 to 1
                form = (
                    ' form="prefix"'
                    if token.kind == "op"
                    and (before in ("open", "rel", "op", "punct", "of") or sign)
                    else ""
                )
                if (
                    self.long
                    and ends == ("end",)
                    and before == "product"
                    and token.text not in ("<", ">", "<=", ">=", ",", ";", ":")
                ):
                    html, space, form = html + BREAK, "", ' form="infix"'
                html += f"{space}<mo{form}>{escape(SIGNS.get(token.text, token.text))}</mo>"
                before = token.kind
            elif token.kind in ("num", "name", "ident", "open", "bar", "dots"):
                product, last = self.product(ends)
                html, before = html + space + product, "of" if last == "of" else "product"
            else:
                raise Unclear(token)
        return html

    def product(self, ends):
        """(MathML of a product, the text of its last factor)."""
        factors, links = [self.factor()], []
        while True:
            token = self.next()
            if (
                token.kind in ends
                or token.kind not in ("num", "name", "ident", "open", "bar", "dots", "op")
                or token.text in list("+-±")
            ):
                break
            if token.kind == "op":
                self.take()
                tight = token.gap == self.next().gap == 0
                if token.text == "·" and tight and links[-1:] != ["tight"]:
                    factors[-1] = Factor(factors[-1].html + "<mo>·</mo>" + self.factor().html)
                    continue
                links.append("tight" if token.text == "/" and tight else token.text)
            else:
                links.append(" " * token.gap)
            factors.append(self.factor())
        reach = (
            self.next().kind != "op" or self.next().gap > 1
        )  # otherwise: how far does a sum reach? Say it as the page does
        factors = [
            f
            if f.text != "sum" or not f.inner
            else Factor(f.html if reach else f.inner, text="sum")
            for f in factors
        ]
        return self.spaced(*self.glued(factors, links)), factors[-1].text

    def glued(self, factors, links):
        """Join factors that are not separated by a space: 2h, xW, 1/R."""
        terms, between, i = [], [], 0
        while i < len(factors):
            above, below, slashes, j = [factors[i]], [], 0, i
            while j < len(links) and links[j] in ("", "tight"):
                slashes += links[j] == "tight"
                (below if slashes else above).append(factors[j + 1])
                j += 1
            if not slashes:
                terms.append(
                    above[0] if len(above) == 1 else Factor("".join(f.html for f in above))
                )
            elif slashes == len(below) == 1 and not self.flat:  # not 1/2h
                over = above[0].bare() if len(above) == 1 else "".join(f.html for f in above)
                terms.append(Factor(f"<mfrac>{row(over)}{row(below[0].bare())}</mfrac>", text="/"))
            else:
                html = factors[i].html
                for link, factor in zip(links[i:j], factors[i + 1 : j + 1]):
                    html += ("<mo>/</mo>" if link == "tight" else "") + factor.html
                terms.append(Factor(html))
            between += links[j : j + 1]
            i = j + 1
        return terms, between

    def spaced(self, terms, links):
        """The product of the terms; `a b / c` becomes a fraction if that is the only reading."""
        clear = (
            not self.flat
            and not any(term.text in WORDS + FUNCTIONS for term in terms)
            and all(
                links[i + 1 : i + 2] in ([], ["*"], ["·"], ["/"])
                for i, link in enumerate(links)
                if link == "/"
            )
        )
        if any(link == term.text == "/" for link, term in zip(links, terms[1:])):
            raise Unclear("a / b/c")
        done, start, html = (
            "",
            0,
            "",
        )  # done: what is finished; html: from the last * on, or since the last fraction
        for i, term in enumerate(terms):
            link = links[i - 1] if i else None
            if link == "/" and clear:
                if (
                    "</mfrac>" in html and start == i - 1 and terms[start].text == "/"
                ):  # 1/R / sd: no fraction upon a fraction
                    html += "<mo>/</mo>" + term.html
                else:
                    above = terms[start].bare() if start == i - 1 else html
                    html = f"<mfrac>{row(above)}{row(term.bare())}</mfrac>"
                terms[i] = Factor(html, text="/")
                start = i
            elif link is None or link in ("*", "·", "x", "/"):
                sign = "" if link is None else f"<mo>{SIGNS.get(link, link)}</mo>"
                done, html = done + html + sign, term.html
                start = i
            else:
                wide = any(len(t.text) > 1 and t.text.isalpha() for t in (terms[i - 1], term))
                number = term.text[:1].isdigit()  # [x 1] is not [x1]
                width = ".7em" if len(link) > 1 else ".3em" if wide or number else ".17em"
                html += f'<mspace width="{width}"/>'
                if len(link) > 1:  # the words before it are in no fraction
                    done, html, start = done + html, "", i
                html += term.html
        return done + html

    def factor(self):
        """A number, a name with its arguments, or a bracket, with its superscripts."""
        token = self.take()
        if token.kind == "num":
            result = Factor(f"<mn>{token.text}</mn>", text=token.text)
        elif token.kind == "dots":
            result = Factor("<mo>…</mo>", text="...")
        elif token.kind == "bar":
            inner = self.sequence(("bar",))
            self.take()
            result = Factor(row(f"<mo>|</mo>{inner}<mo>|</mo>"))
        elif token.kind == "open":
            result = self.bracket(token)
        elif token.kind == "name" and token.text == "sum" and self.next().text == "over":
            result = self.total()
        elif token.kind in ("name", "ident"):
            if (
                "_" in token.text
                and not parts(token.text)
                and token.kind == "name"
                and re.search(r"[^\w]", token.text)
            ):
                raise Unclear(token)
            result = Factor(name_html(token.text), text=token.text)
            if self.next().kind == "open" and self.next().gap == 0:
                if "_" in token.text and parts(token.text):
                    raise Unclear(token)  # an index, or an argument?
                argument = self.bracket(self.take())
                if token.text == "sqrt":
                    result = Factor(f"<msqrt>{row(argument.inner)}</msqrt>")
                else:
                    result = Factor(row(result.html + argument.html))
        else:
            raise Unclear(token)
        while self.next().kind == "post" and self.next().gap == 0:
            post = self.take().text
            if post == "'":
                result = Factor(row(result.html + prime_html(post)))
            elif post in "²³ᵀ*":
                raised = {
                    "²": "<mn>2</mn>",
                    "³": "<mn>3</mn>",
                    "ᵀ": "<mi>T</mi>",
                    "*": "<mo>∗</mo>",
                }[post]
                result = Factor(f'<msup class="raised">{row(result.html)}{raised}</msup>')
            else:
                bracketed = post.startswith("(")
                reader = Reader(post[1:-1] if bracketed else post, flat=True)
                result = Factor(
                    f"<msup>{row(result.html)}{row(reader.sequence(), bracketed)}</msup>"
                )
        return result

    def bracket(self, token):
        """A bracket up to the closing one."""
        inner = self.sequence(("close",))
        closing = self.take().text
        return Factor(
            row(f"<mo>{token.text}</mo>{inner}<mo>{closing}</mo>"),
            inner if token.text + closing == "()" else "",
        )

    def total(self):
        """`sum over i, j of` as a sum sign, or the word sum."""
        start, self.at = self.at, self.at + 1
        letters = []
        while self.next().kind == "punct" or parts(self.next().text) and self.next().kind == "name":
            letters.append(self.take().text)
        if not letters or self.next().text != "of":
            self.at = start
            return Factor("<mi>sum</mi>", "<mi>sum</mi>", "sum")
        self.take()
        below = "".join(
            f"<mo>{letter}</mo>" if letter == "," else name_html(letter) for letter in letters
        )
        space = '<mspace width=".3em"/>'
        pieces = ["<mi>sum</mi>", "<mi>over</mi>", row(below), "<mi>of</mi>"]
        words = space.join(pieces)
        return Factor(f'<munder class="sum"><mo>∑</mo>{row(below)}</munder>', words, "sum")


def is_plain(token, after):
    """Whether a token is an ordinary word."""
    if token.text in ("a", "A"):
        return after.kind == "name" and len(after.text) > 1
    return (
        token.kind == "name"
        and len(token.text) > 1
        and not parts(token.text)
        and token.text not in WORDS + FUNCTIONS
        and (after.kind, after.gap) != ("open", 0)
    )


def formula(text):
    """The MathML of a text that is a formula, or None if it is prose or ambiguous."""
    found = tokens(text)
    if not any(
        token.kind in ("rel", "post") or token.kind == "op" and token.text != "-" for token in found
    ):
        return None
    if any(
        token.kind == "ident" and after.kind == "open" for token, after in zip(found, found[1:])
    ):
        return None  # code
    words = 0  # that stand next to no sign, but for those that formulas are read with
    end, run = Token("end", "", 0), 0
    for before, token, after in zip([end, *found], found, [*found[1:], end]):
        plain = is_plain(token, after)
        run = run + 1 if plain else 0
        words += (
            plain or token.text in WORDS and token.text not in [*FUNCTIONS, "sum", "over", "of"]
        ) and not {before.kind, after.kind} & {"op", "rel"}
        if run > 3:
            return None
    if words > 5:
        return None  # a sentence
    try:
        reader = Reader(text)
        html = reader.sequence()
    except Unclear:
        return None
    return "".join(f'<math display="block">{row(part)}</math>' for part in html.split(BREAK))


# ---- HTML ----


def inline(text):
    """Any text as HTML, with its mathematical names and signs set as such."""
    found, html = tokens(text), ""
    follows = (
        [Token("name", "more", 1)] if text.endswith(" ") else [Token("other", ".", 0)]
    )  # what a text ends before
    mathy = [is_mathy(found + follows, i) for i in range(len(found))]
    for i, token in enumerate(found):
        before, after = (
            (found[i - 1] if i else None),
            (found[i + 1] if i + 1 < len(found) else Token("end", "", 1)),
        )
        html += (
            "\u2003"
            if token.gap > 1 and before and before.text not in ".,;:)"
            else " " * min(token.gap, 1)
        )
        spaced = token.gap > 0 and after.gap > 0
        if token.kind == "name" and mathy[i] and token.text not in FUNCTIONS:
            html += name_inline(token.text)
        elif token.text == "sqrt" and (after.kind, after.gap) == ("open", 0):
            html += "√"
        elif token.kind == "ident" or token.kind == "name" and "_" in token.text:
            html += f'<code class="id">{escape(token.text, quote=False)}</code>'
        elif token.kind == "post" and token.text in "²³ᵀ'*":
            html += {
                "²": "²",
                "³": "³",
                "ᵀ": '<sup class="raised">T</sup>',
                "'": "′",
                "*": '<sup class="raised">∗</sup>',
            }[token.text]
        elif token.kind == "post":
            html += f"<sup>{inline(token.text)}</sup>"
        elif token.text == "-":
            opens = before is None or before.kind in ("open", "op", "rel") or token.gap > 0
            minus = (
                before and (mathy[i - 1] or after != Token("end", "", 1) and mathy[i + 1])
                if spaced
                else (opens and after.gap == 0 and mathy[i + 1 : i + 2] == [True])
            )
            html += "−" if minus else "-"
        elif token.text == "*" and not spaced or token.text in "~|":
            html += token.text
        elif token.kind in ("rel", "op", "dots"):
            html += escape(SIGNS.get(token.text, token.text), quote=False)
        else:
            html += escape(token.text, quote=False)
    return html + " " * (text != text.rstrip())


def is_mathy(found, i):
    """Whether a token belongs to a formula."""
    token, end = found[i], Token("end", "", 1)
    before, after = found[i - 1] if i else end, found[i + 1] if i + 1 < len(found) else end
    if token.kind != "name":
        return token.kind in ("num", "open", "close", "bar", "post", "dots")
    if (
        before.text in ("-", "'")
        and before.gap == token.gap == 0
        and (before.text == "'" if i == 1 else found[i - 2].kind in ("name", "ident", "close"))
    ):
        return False  # the s of G's, the D of 2-D
    if token.text in ("a", "A"):  # an article stands before a word
        return (
            after.kind in ("post", "close", "punct", "rel")
            or after.text in [*"+-*/·@", "and", "as", "for", "is", "or"]
            or after == Token("other", ".", 0)
            or token.text == "A"
            and before.kind == "name"
        )
    if token.text == "I" or re.fullmatch("[A-Z][a-z]", token.text):
        return token.text != "I" and (
            before.kind in ("rel", "post") or after.kind in ("rel", "post")
        )
    if token.text in PRODUCTS:
        return True
    if re.fullmatch("[A-Z]{2}", token.text):  # x(WV)
        return (
            i > 1
            and before == Token("open", "(", 0)
            and parts(found[i - 2].text) is not None
            and after.kind == "close"
        )
    if (
        token.text == "C"
        and after.text == "library"
        or token.text == "lambda"
        or before.kind == "open"
        and re.match("[.] [A-Z]", rest(found[i + 1 : i + 3]))
    ):
        return False  # and somebody's initial
    return (
        token.text in FUNCTIONS
        or parts(token.text) is not None
        or re.fullmatch("[a-z][A-Z]'*", token.text) is not None
    )


def rest(found):
    """Tokens as text again."""
    return "".join(" " * token.gap + token.text for token in found)


def name_inline(name):
    """The HTML of a mathematical name."""
    found = parts(name)
    if not found:
        return unbroken(f"<i>{name.rstrip(chr(39))}</i>", name.count("'"))
    d, greek, digit, letter, primes, index = found
    html = f"<i>{d}{GREEK.get(greek, greek) if greek else 'x̂' if letter == 'xhat' else letter}</i>"
    html += f'<sub class="n">{digit}</sub>' if digit else ""
    html = unbroken(html, len(primes))
    if not index:
        return html
    return (
        html
        + "<sub>"
        + (
            index
            if is_word(index)
            else re.sub("[A-Za-z]+", r"<i>\g<0></i>", index).replace("-", "−")
        )
        + "</sub>"
    )


def unbroken(html, primes):
    """A name with its primes, which stay in one line."""
    return f'<span class="name">{html}{"′" * primes}</span>' if primes else html
